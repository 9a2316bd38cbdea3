"""Chapter 2 of the manual, sentence by sentence, and what it leaves open."""

from __future__ import annotations

import configparser
import dataclasses
import os
import subprocess
import sys
import typing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spalloc_gevent import config
from spalloc_gevent.config import OPTIONS, Config, ConfigWarning, load_config, load_settings
from spalloc_gevent.errors import ConfigError, SpallocError

ROOT = Path(config.__file__).parent.parent
NAMES = [option.name for option in OPTIONS]

Write = Callable[..., str]

ON_ONE_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of its own for each call, and returns its name."""
    numbers = iter(range(1000))

    def write_file(text: str | bytes) -> str:
        path = tmp_path / f"config-{next(numbers)}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return str(path)

    return write_file


def read(*filenames: str, **environ: str) -> Config:
    return load_config(filenames, environ)


def one(name: str, text: str, write: Write) -> object:
    return getattr(read(write(f"[spalloc]\n{name} = {text}\n")), name)


def refusal(*filenames: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(filenames, environ)
    message = str(caught.value)
    assert "\n" not in message
    return message


def warned(*filenames: str) -> tuple[Config, list[str]]:
    """What is read, and what was passed over."""
    with pytest.warns(ConfigWarning) as caught:
        found = read(*filenames)
    return found, [str(warning.message) for warning in caught]


def printed(program: str, *arguments: str, **environ: str) -> list[str]:
    """What a program prints in a process with this environment."""
    run = subprocess.run(
        [sys.executable, "-c", f"from spalloc_gevent import config\n{program}", *arguments],
        env={"PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    return run.stdout.splitlines()


# ------------------------------------------------- the sentences of chapter 2


def test_use_of_configuration_files_is_entirely_optional(tmp_path: Path) -> None:
    assert read() == read(str(tmp_path / "absent")) == read(str(tmp_path / "absent" / "too"))


def test_files_are_read_in_ascending_order_of_priority(write: Write) -> None:
    system = write("[spalloc]\nhostname = a\nowner = a\nmachine = a\n")
    user = write("[spalloc]\nowner = b\nmachine = b\n")
    local = write("[spalloc]\nmachine = c\n")
    found = read(system, user, local)
    assert (found.hostname, found.owner, found.machine) == ("a", "b", "c")


def test_files_of_the_search_path_are_read_unless_others_or_none_are_named(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "SEARCH_PATH", [write("[spalloc]\nowner = me\n")])
    assert config.read_config(environ={})["owner"] == "me"
    assert config.read_config([], {})["owner"] is None


def test_config_files_use_the_configparser_ini_format(write: Write) -> None:
    text = "; remark\n[spalloc]\r\nHostName: localhost\n\n# remark\nowner=jdh@cs.man.ac.uk\n"
    assert read(write(text)) == dataclasses.replace(
        read(), hostname="localhost", owner="jdh@cs.man.ac.uk"
    )


DEFAULTS = {
    "hostname": None,
    "owner": None,
    "port": 22244,
    "keepalive": 60.0,
    "reconnect_delay": 5.0,
    "timeout": 5.0,
    "machine": None,
    "tags": None,
    "min_ratio": 0.333,
    "max_dead_boards": 0,
    "max_dead_links": None,
    "require_torus": False,
    "ignore_version": False,
    "guardian": True,
    "ledger": None,
}


def test_documented_options_have_their_documented_defaults() -> None:
    assert config.read_config([], {}) == dataclasses.asdict(read()) == DEFAULTS
    assert list(DEFAULTS) == NAMES


VALUES: list[tuple[str, str, object]] = [
    *[("hostname", host, host) for host in ("my_server", "192.168.0.1", "fe80::1", "a.b.org")],
    ("owner", "Zoë Doe <z@example.org>", "Zoë Doe <z@example.org>"),
    *[("port", "1", 1), ("port", "65535", 65535)],
    ("keepalive", "None", None),
    *[("timeout", "None", None), ("timeout", "2.5", 2.5)],
    ("reconnect_delay", "0", 0.0),
    *[("machine", "my-machine", "my-machine"), ("machine", "None", None)],
    *[("tags", "big, default", ("big", "default")), ("tags", "None", None), ("tags", "", ())],
    ("tags", " a ,, b c,\n   d,", ("a", "b c", "d")),
    *[("min_ratio", "0.0", 0.0), ("min_ratio", "1.0", 1.0)],
    *[("max_dead_boards", "3", 3), ("max_dead_boards", "None", None)],
    *[("max_dead_links", "7", 7), ("max_dead_links", "none", None)],
    *[("require_torus", "True", True), ("require_torus", "false", False)],
    *[("require_torus", "YES", True), ("require_torus", "off", False)],
    ("ignore_version", "1", True),
    ("guardian", "no", False),
    ("ledger", "~/ledger", "~/ledger"),
]


@pytest.mark.parametrize(("name", "text", "value"), VALUES)
def test_every_option_is_read_from_a_file(
    name: str, text: str, value: object, write: Write
) -> None:
    assert one(name, text, write) == value


@pytest.mark.parametrize("name", ["hostname", "owner", "machine", "ledger"])
@pytest.mark.parametrize("text", ["", "None", "none"])
def test_name_that_is_blank_or_none_is_none(name: str, text: str, write: Write) -> None:
    below = write(f"[spalloc]\n{name} = something\n")
    assert getattr(read(below, write(f"[spalloc]\n{name} = {text}\n")), name) is None


# ------------------------------------------------------------ the environment


@pytest.mark.parametrize(("name", "text", "value"), [one for one in VALUES if one[1]])
def test_every_option_has_an_environment_variable_that_outranks_every_file(
    name: str, text: str, value: object, write: Write
) -> None:
    filename = write("".join(["[spalloc]\n", *(f"{option} = nonsense\n" for option in [name])]))
    assert getattr(read(filename, **{f"SPALLOC_{name.upper()}": text}), name) == value


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_empty_environment_variable_counts_as_not_set(blank: str, write: Write) -> None:
    filename = write("[spalloc]\nport = 7\nowner = me\n")
    found = read(filename, SPALLOC_PORT=blank, SPALLOC_OWNER=blank)
    assert (found.port, found.owner) == (7, "me")


def test_user_and_password_variables_are_never_read() -> None:
    class Guarded(dict[str, str]):
        def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
            assert key not in ("SPALLOC_USER", "SPALLOC_PASSWORD")
            return super().get(key, default)

    environ = Guarded(SPALLOC_USER="someone", SPALLOC_PASSWORD="secret", SPALLOC_OWNER="me")
    found = config.read_config([], environ)
    assert found["owner"] == "me"
    assert "secret" not in map(str, found.values())


def test_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPALLOC_OWNER", "from-process")
    assert config.read_config([])["owner"] == "from-process"


def test_percent_signs_in_the_environment_are_left_alone() -> None:
    assert read(SPALLOC_OWNER="100%%").owner == "100%%"


def test_bytes_that_are_no_text_are_refused() -> None:
    assert "SPALLOC_OWNER: owner cannot be" in refusal(SPALLOC_OWNER="\udcff")


# ----------------------------------------------------------------- the values


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("port", bad) for bad in ("0", "-1", "65536", "22244.0", "None", "", "x", "9" * 5000)],
        *[("keepalive", bad) for bad in ("0", "-1", "nan", "inf", "", "60 s")],
        *[("timeout", bad) for bad in ("0", "-5", "nan", "inf", "", "soon")],
        *[("reconnect_delay", bad) for bad in ("-0.1", "nan", "inf", "None", "")],
        *[("min_ratio", bad) for bad in ("-0.1", "1.01", "nan", "None", "1:2", "")],
        *[("max_dead_boards", bad) for bad in ("-1", "0.5", "any", "")],
        *[("max_dead_links", bad) for bad in ("-1", "0.5", "any", "")],
        *[("require_torus", bad) for bad in ("None", "2", "maybe", "")],
        *[("ignore_version", bad) for bad in ("None", "2", "maybe", "")],
        *[("hostname", bad) for bad in ("my server", '"my_server"', "a\x07b")],
        *[("owner", bad) for bad in ("a\x1b[31mb", "a\x7fb")],
        *[("machine", bad) for bad in ("a\x00b",)],
        *[("tags", bad) for bad in ("a,b\x07",)],
    ],
)
def test_value_of_the_wrong_type_names_file_option_value_and_what_is_allowed(
    name: str, text: str, write: Write
) -> None:
    filename = write(f"# mine\n[spalloc]\n\n{name} = {text}\n")
    allowed = next(option.allowed for option in OPTIONS if option.name == name)
    message = refusal(filename)
    assert message.startswith(f"{filename}: {name} cannot be {ascii(text)[:40].rstrip()}")
    assert f": give {allowed}" in message
    assert len(message) < 500


def test_bad_environment_variable_is_named_with_its_value_and_what_is_allowed() -> None:
    assert refusal(SPALLOC_PORT="http") == (
        "environment variable SPALLOC_PORT: port cannot be 'http': "
        "give a whole number from 1 to 65535"
    )


@pytest.mark.parametrize("owner", ["50% me", "%(port)s", "%", "100%%%"])
def test_percent_sign_in_a_file_stands_for_itself(owner: str, write: Write) -> None:
    assert one("owner", owner, write) == owner.replace("%%", "%")


def test_doubled_percent_sign_reads_as_it_does_in_the_existing_client(write: Write) -> None:
    text = "[spalloc]\nowner = 100%%\n"
    existing = configparser.ConfigParser()
    existing.read_string(text)
    assert read(write(text)).owner == existing.get("spalloc", "owner") == "100%"


def test_value_that_a_later_file_replaces_need_not_be_valid(write: Write) -> None:
    bad = write("[spalloc]\nport = nonsense\n")
    assert read(bad, write("[spalloc]\nport = 5\n")).port == 5


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("hostname = x\n  owner = me\n", "; an indented line continues the one above it"),
        ("port = 22244  # the usual one\n", "; a comment needs a line of its own"),
    ],
)
def test_mistake_that_is_likely_is_explained(lines: str, told: str, write: Write) -> None:
    assert refusal(write("[spalloc]\n" + lines)).endswith(told)


def in_a_file(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value).replace("%", "%%")


A_HOST = st.lists(st.text("abcXYZ019é", min_size=1, max_size=9), min_size=1, max_size=4)
A_WORD = st.text("abcXYZ019.-é", min_size=1, max_size=20)
VALID: dict[str, st.SearchStrategy[object]] = {
    "hostname": st.none() | A_HOST.map(".".join),
    "owner": st.none() | st.tuples(A_WORD, st.sampled_from(" @%;#=:,"), A_WORD).map("".join),
    "port": st.integers(1, 65535),
    "keepalive": st.none() | st.floats(1e-3, 1e9),
    "reconnect_delay": st.floats(0, 1e9),
    "timeout": st.none() | st.floats(1e-3, 1e9),
    "machine": st.none() | A_WORD,
    "tags": st.none() | st.lists(A_WORD, max_size=4).map(tuple),
    "min_ratio": st.floats(0, 1),
    "max_dead_boards": st.none() | st.integers(0, 10**9),
    "max_dead_links": st.none() | st.integers(0, 10**9),
    "require_torus": st.booleans(),
    "ignore_version": st.booleans(),
}


@ON_ONE_FILE
@given(wanted=st.fixed_dictionaries({}, optional=VALID))
def test_any_valid_settings_are_read_as_they_were_written(
    wanted: dict[str, Any], tmp_path: Path
) -> None:
    filename = tmp_path / "config"
    lines = [f"{name} = {in_a_file(value)}" for name, value in wanted.items()]
    filename.write_text("\n".join(["[spalloc]", *lines]), encoding="utf-8")
    assert read(str(filename)) == dataclasses.replace(read(), **wanted)


# ------------------------------------------------- files that are not as meant


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("\nhostname = x\n", "line 2: put [spalloc] on a line before 'hostname = x'"),
        ("[spalloc]\nport = 1\nPort = 2\n", "line 3: option 'port' is given again: remove one"),
        ("[spalloc]\n[spalloc]\n", "line 2: section 'spalloc' begins again: join the two"),
        ("[spalloc]\nport = 1\nhostname\n", "line 3: this is no 'option = value'"),
        ("[spalloc]\n# a\u2028b\x0bc\x0cd\nport\n", "line 3: this is no 'option = value'"),
        (b"[spalloc]\nowner = Zo\xeb\n", "line 2: this is not UTF-8 text: save the file as UTF-8"),
    ],
)
def test_file_that_is_not_in_the_format_is_refused_with_its_line(
    content: str | bytes, told: str, write: Write
) -> None:
    filename = write(content)
    assert refusal(filename).startswith(f"{filename}, {told}")


def test_byte_order_mark_does_no_harm(write: Write) -> None:
    assert read(write(b"\xef\xbb\xbf[spalloc]\r\nport = 9\r\n")).port == 9


def test_link_that_leads_to_itself_and_impossible_names_are_refused(tmp_path: Path) -> None:
    link = tmp_path / "loop"
    link.symlink_to(link)
    message = refusal(str(link))
    assert message.startswith(f"{link}: this configuration file cannot be read (")
    assert message.endswith("make it readable, or move it out of the way")
    assert "cannot be read" in refusal("a\0b")


# An administrator may read every file, so the question is asked as somebody else.
AS_SOMEBODY_ELSE = """
import encodings.utf_8_sig, os, sys, warnings
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.seteuid(65534)
warnings.showwarning = lambda message, *rest, **more: print("warning:", message)
try:
    print(config.read_config([sys.argv[2]], {})["port"])
except config.ConfigError as error:
    print("error:", error)
"""


def test_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "secret").write_text("[spalloc]\nport = 5\n")
    (tmp_path / "secret").chmod(0)
    assert printed(AS_SOMEBODY_ELSE, str(tmp_path), "secret") == [
        (
            "error: secret: this configuration file cannot be read (Permission denied): "
            "make it readable, or move it out of the way"
        )
    ]


def test_folder_that_may_not_be_entered_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    try:
        told = printed(AS_SOMEBODY_ELSE, str(tmp_path), "closed/spalloc")
    finally:
        closed.chmod(0o700)
    assert told == [
        "warning: closed/spalloc: passed over, because this user may not enter its folder",
        "22244",
    ]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Path.mkdir, "it is a folder and not a configuration file"),
        (os.mkfifo, "it is a pipe or a device, and not a configuration file"),
        (lambda path: path.symlink_to("/dev/zero"), ("it is a pipe or a device, and not a "
         "configuration file")),
    ],
)  # fmt: skip
def test_what_is_no_file_is_passed_over_with_a_warning(
    make: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    make(path)
    assert warned(str(path)) == (read(), [f"{path}: passed over, because {told}"])


def test_file_that_is_linked_to_nothing_is_empty_and_no_matter_of_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.symlink_to(os.devnull)
    assert read(str(path)) == read()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[spalloc]\nhost_name = x\n", ("'host_name', because there is no such option; "
         "the nearest is 'hostname'")),
        ("[Spalloc]\nport = 4\n", "because it has no section [spalloc]"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_passed_over_with_a_warning(
    text: str, told: str, write: Write
) -> None:
    filename = write(text)
    found, (message,) = warned(filename)
    assert found == read()
    assert message in (f"{filename}: passed over {told}", f"{filename}: passed over, {told}")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "[spalloc]\n"])
def test_file_that_says_nothing_is_fine(text: str, write: Write) -> None:
    assert read(write(text)) == read()


def test_other_sections_are_left_alone(write: Write) -> None:
    text = "[other]\nport = nonsense\nunknown = 1\n[spalloc]\nport = 3\n[more]\nport = 4\n"
    assert read(write(text)).port == 3


def test_default_section_counts_below_the_section_of_the_same_file(write: Write) -> None:
    text = "[DEFAULT]\nowner = low\nhostname = low\nunknown = 1\n[spalloc]\nowner = high\n"
    found = read(write(text))
    assert (found.owner, found.hostname) == ("high", "low")


INI_PIECES = st.sampled_from(
    [
        *("[spalloc]", "[DEFAULT]", "[x]", "[", "]", "[]", "port", "tags", "=", ":", " ", "\t"),
        *("\n", "\n", "\r", "\r\n", "1", "None", "%", "%(", "#", ";", '"'),
        *("é", "\x00", "\ufeff", "\u2028"),
    ]
)


@ON_ONE_FILE
@given(
    content=st.lists(INI_PIECES, max_size=30).map(lambda pieces: "".join(pieces).encode())
    | st.text(max_size=60).map(str.encode)
    | st.binary(max_size=60)
)
def test_whatever_a_file_holds_is_either_read_or_refused_in_one_line(
    content: bytes, tmp_path: Path
) -> None:
    filename = tmp_path / "config"
    filename.write_bytes(content)
    complaint = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        try:
            load_config([str(filename)], {})
        except ConfigError as error:
            complaint = str(error)
    assert "\n" not in complaint
    assert not complaint or complaint.startswith((f"{filename}, line ", f"{filename}: "))


# ------------------------------------------------------------------- the views


def test_read_config_gives_tags_as_a_list_that_is_the_callers_to_change(write: Write) -> None:
    filename = write("[spalloc]\ntags = a, b\n")
    first = config.read_config([filename], {})
    first["tags"].append("c")
    first["port"] = None
    again = config.read_config([filename], {})
    assert (again["tags"], again["port"]) == (["a", "b"], 22244)


def test_settings_tell_where_each_value_came_from(write: Write) -> None:
    first = write("[spalloc]\nowner = a\nmachine = m\n")
    second = write("[spalloc]\nowner = b\n")
    found = load_settings([first, second], {"SPALLOC_PORT": "99"})
    assert list(found) == NAMES
    assert found["machine"] == config.Setting("m", first)
    assert found["owner"] == config.Setting("b", second)
    assert found["port"] == config.Setting(99, "environment variable SPALLOC_PORT")
    assert found["timeout"] == config.Setting(5.0, "default")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_defaults_and_parsed_values_have_the_type_of_their_field(option: config.Option) -> None:
    hint = typing.get_type_hints(Config)[option.name]
    types = tuple(typing.get_origin(t) or t for t in typing.get_args(hint) or (hint,))
    assert type(option.default) in types
    assert type(option.parse("1")) in types


def test_files_may_be_paths_that_can_be_gone_through_only_once(write: Write) -> None:
    assert load_config(iter([Path(write("[spalloc]\nport = 8\n"))]), {}).port == 8


@pytest.mark.parametrize("name", ["config", b"config", Path("config")])
def test_one_name_in_place_of_a_list_of_names_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError, match="must be a list of file names"):
        config.read_config(name, {})


def test_config_is_frozen_and_its_error_a_value_error_of_this_package() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ConfigError, SpallocError)
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().port = 1  # type: ignore[misc]


# ------------------------------------------------------------- the search path

NOBODY = """
import pwd, sys
def no_entry(uid):
    raise KeyError(uid)
pwd.getpwuid = no_entry
"""
"""Has a user without an entry in the system's list, as in a container."""
PATH = "print(*config.find_search_path(), sep='\\n')"


@pytest.mark.parametrize(
    ("program", "environ", "expected"),
    [
        ("", {"HOME": "/home/me"}, ["/etc/xdg", "/home/me/.config"]),
        (
            "",
            {"XDG_CONFIG_DIRS": "/etc/a:/etc/b", "XDG_CONFIG_HOME": "/elsewhere"},
            ["/etc/b", "/etc/a", "/elsewhere"],
        ),
        # A user without a home has no file, unless the environment names a folder.
        *[(NOBODY, home, ["/etc/xdg"]) for home in ({}, {"HOME": ""}, {"HOME": "relative"})],
        (NOBODY, {"XDG_CONFIG_HOME": "/elsewhere"}, ["/etc/xdg", "/elsewhere"]),
        # An older platformdirs leaves a tilde.
        (
            "config.platformdirs.user_config_dir = lambda name: '~/.config/' + name\n",
            {},
            ["/etc/xdg"],
        ),
    ],
)
def test_search_path_is_system_wide_then_user_then_working_directory(
    program: str, environ: dict[str, str], expected: list[str]
) -> None:
    found = printed(program + PATH, **environ)
    assert found == [*(f"{folder}/spalloc" for folder in expected), "./.spalloc"]


def test_names_of_the_three_files_are_those_at_the_end_of_the_search_path() -> None:
    assert config.SEARCH_PATH[-3:] == [
        config.SYSTEM_CONFIG_FILE,
        config.USER_CONFIG_FILE,
        config.CWD_CONFIG_FILE,
    ]


@pytest.mark.parametrize(
    "command", ["alloc", "batch", "ps", "job", "machine", "where-is", "simulator", "config"]
)
def test_every_command_starts_for_a_user_without_a_home(command: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", NOBODY + "from spalloc_gevent.__main__ import main\n"
         "sys.exit(main(sys.argv[1:]))", command, "--help"],
        env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.startswith("usage: ")
