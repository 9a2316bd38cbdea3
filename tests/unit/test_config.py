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


def search_path(**environ: str) -> list[str]:
    """What SEARCH_PATH is in a process with this environment."""
    program = "from spalloc_gevent import config; print(*config.SEARCH_PATH, sep='\\n')"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), "HOME": "/home/me", **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.splitlines()


NOBODY = """
import pwd, sys
def no_entry(uid):
    raise KeyError(uid)
pwd.getpwuid = no_entry
"""
"""Has a user without an entry in the system's list, as in a container."""


def of_nobody(program: str, *arguments: str, **environ: str) -> str:
    """What a program prints whose user has neither a home nor an entry."""
    run = subprocess.run(
        [sys.executable, "-c", NOBODY + program, *arguments],
        env={"PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


# ------------------------------------------------- the sentences of chapter 2


def test_defaults_are_determined_from_a_configuration_file_if_present(write: Write) -> None:
    assert read(write("[spalloc]\nport = 1234\n")).port == 1234


def test_use_of_configuration_files_is_entirely_optional(tmp_path: Path) -> None:
    assert read() == read(str(tmp_path / "absent")) == read(str(tmp_path / "absent" / "too"))


def test_files_are_read_in_ascending_order_of_priority(write: Write) -> None:
    system = write("[spalloc]\nhostname = a\nowner = a\nmachine = a\n")
    user = write("[spalloc]\nowner = b\nmachine = b\n")
    local = write("[spalloc]\nmachine = c\n")
    found = read(system, user, local)
    assert (found.hostname, found.owner, found.machine) == ("a", "b", "c")


def test_search_path_is_system_wide_then_user_then_working_directory() -> None:
    assert search_path() == ["/etc/xdg/spalloc", "/home/me/.config/spalloc", "./.spalloc"]


def test_files_are_found_by_default_in_the_search_path(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "SEARCH_PATH", [write("[spalloc]\nowner = me\n")])
    assert config.read_config(environ={})["owner"] == "me"


def test_config_files_use_the_configparser_ini_format(write: Write) -> None:
    text = "; remark\n[spalloc]\r\nHostName: localhost\n\n# remark\nowner=jdh@cs.man.ac.uk\n"
    found = read(write(text))
    assert (found.hostname, found.owner) == ("localhost", "jdh@cs.man.ac.uk")


def test_the_example_with_only_hostname_and_owner_leaves_the_rest_at_its_default(
    write: Write,
) -> None:
    found = read(write("[spalloc]\nhostname = localhost\nowner = jdh@cs.man.ac.uk\n"))
    assert found == dataclasses.replace(read(), hostname="localhost", owner="jdh@cs.man.ac.uk")


def test_every_documented_option_exists() -> None:
    documented = (
        "hostname owner port keepalive reconnect_delay timeout machine tags min_ratio "
        "max_dead_boards max_dead_links require_torus"
    )
    assert [*documented.split(), "ignore_version", "guardian", "ledger"] == NAMES


@pytest.mark.parametrize("text", ["my_server", "192.168.0.1", "fe80::1", "a.b.example.org"])
def test_hostname_is_a_host_name_or_ip_address(text: str, write: Write) -> None:
    assert one("hostname", text, write) == text


def test_owner_is_a_name_such_as_an_email_address(write: Write) -> None:
    assert one("owner", "Zoë Doe <z@example.org>", write) == "Zoë Doe <z@example.org>"


def test_hostname_and_owner_have_no_default() -> None:
    assert read().hostname is None
    assert read().owner is None


def test_port_defaults_to_22244() -> None:
    assert read().port == 22244


def test_keepalive_defaults_to_60_seconds() -> None:
    assert read().keepalive == 60.0


def test_keepalive_may_be_none_to_disable_it(write: Write) -> None:
    assert one("keepalive", "None", write) is None


def test_reconnect_delay_defaults_to_5_seconds() -> None:
    assert read().reconnect_delay == 5.0


def test_timeout_defaults_to_5_seconds() -> None:
    assert read().timeout == 5.0


def test_timeout_may_be_none_to_wait_forever(write: Write) -> None:
    assert one("timeout", "None", write) is None


def test_machine_is_the_name_of_a_machine(write: Write) -> None:
    assert one("machine", "my-machine", write) == "my-machine"


def test_machine_may_be_none_for_any_and_is_by_default(write: Write) -> None:
    assert one("machine", "None", write) is None
    assert read().machine is None


def test_tags_are_comma_separated(write: Write) -> None:
    assert one("tags", "big, default", write) == ("big", "default")


def test_tags_default_to_none_which_a_server_takes_for_the_tag_default() -> None:
    assert read().tags is None


def test_min_ratio_defaults_to_0_333() -> None:
    assert read().min_ratio == 0.333


def test_max_dead_boards_defaults_to_0() -> None:
    assert read().max_dead_boards == 0


def test_max_dead_boards_may_be_none_for_any_number(write: Write) -> None:
    assert one("max_dead_boards", "None", write) is None


def test_max_dead_links_may_be_none_for_any_number_and_is_by_default(write: Write) -> None:
    assert one("max_dead_links", "None", write) is None
    assert read().max_dead_links is None


def test_max_dead_links_is_a_number(write: Write) -> None:
    assert one("max_dead_links", "7", write) == 7


def test_require_torus_defaults_to_false() -> None:
    assert read().require_torus is False


@pytest.mark.parametrize(
    ("text", "value"),
    [("True", True), ("false", False), ("YES", True), ("off", False), ("1", True)],
)
def test_require_torus_is_true_or_false(text: str, value: bool, write: Write) -> None:
    assert one("require_torus", text, write) is value


def test_an_empty_list_of_filenames_prevents_using_values_from_files(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "SEARCH_PATH", [write("[spalloc]\nowner = me\n")])
    assert config.read_config([], {})["owner"] is None


# ------------------------------------------------------------ the environment


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("SPALLOC_HOSTNAME", "my_server", "hostname", "my_server"),
        ("SPALLOC_OWNER", "me", "owner", "me"),
        ("SPALLOC_PORT", "1", "port", 1),
        ("SPALLOC_KEEPALIVE", "none", "keepalive", None),
        ("SPALLOC_RECONNECT_DELAY", "0", "reconnect_delay", 0.0),
        ("SPALLOC_TIMEOUT", "2.5", "timeout", 2.5),
        ("SPALLOC_MACHINE", "m", "machine", "m"),
        ("SPALLOC_TAGS", "a,b", "tags", ("a", "b")),
        ("SPALLOC_MIN_RATIO", "1", "min_ratio", 1.0),
        ("SPALLOC_MAX_DEAD_BOARDS", "3", "max_dead_boards", 3),
        ("SPALLOC_MAX_DEAD_LINKS", "4", "max_dead_links", 4),
        ("SPALLOC_REQUIRE_TORUS", "on", "require_torus", True),
        ("SPALLOC_IGNORE_VERSION", "true", "ignore_version", True),
    ],
)
def test_every_option_has_an_environment_variable(
    variable: str, text: str, name: str, value: object
) -> None:
    assert getattr(read(**{variable: text}), name) == value


def test_environment_outranks_every_file(write: Write) -> None:
    assert read(write("[spalloc]\nport = 1\n"), SPALLOC_PORT="2").port == 2


def test_environment_counts_without_any_file() -> None:
    assert config.read_config([], {"SPALLOC_OWNER": "me"})["owner"] == "me"


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


def test_bad_environment_variable_is_named_with_its_value_and_what_is_allowed() -> None:
    assert refusal(SPALLOC_PORT="http") == (
        "environment variable SPALLOC_PORT: port cannot be 'http': "
        "give a whole number from 1 to 65535"
    )


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
def test_value_of_the_wrong_type_names_file_line_option_value_and_what_is_allowed(
    name: str, text: str, write: Write
) -> None:
    filename = write(f"# mine\n[spalloc]\n\n{name} = {text}\n")
    allowed = next(option.allowed for option in OPTIONS if option.name == name)
    message = refusal(filename)
    assert message.startswith(f"{filename}, line 4: {name} cannot be {ascii(text)[:40].rstrip()}")
    assert f": give {allowed}" in message


def test_long_values_are_quoted_in_part(write: Write) -> None:
    assert len(refusal(write(f"[spalloc]\nport = {'9' * 9000}\n"))) < 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 65535),
        ("port", 1),
        ("min_ratio", 0.0),
        ("min_ratio", 1.0),
        ("reconnect_delay", 0.0),
    ],
)
def test_values_at_the_edge_are_allowed(name: str, value: float, write: Write) -> None:
    assert one(name, str(value), write) == value


@pytest.mark.parametrize("name", ["hostname", "owner", "machine"])
@pytest.mark.parametrize("text", ["", "None", "none"])
def test_name_that_is_blank_or_none_is_none(name: str, text: str, write: Write) -> None:
    below = write(f"[spalloc]\n{name} = something\n")
    assert getattr(read(below, write(f"[spalloc]\n{name} = {text}\n")), name) is None


def test_blanks_around_tags_and_empty_tags_are_dropped(write: Write) -> None:
    assert one("tags", " a ,, b c,\n   d,", write) == ("a", "b c", "d")


def test_blank_tags_ask_for_no_tag_at_all(write: Write) -> None:
    assert one("tags", "", write) == ()


def test_tags_may_be_none(write: Write) -> None:
    assert one("tags", "None", write) is None


@pytest.mark.parametrize("owner", ["50% me", "%(port)s", "%", "100%%%"])
def test_percent_sign_in_a_file_stands_for_itself(owner: str, write: Write) -> None:
    assert one("owner", owner, write) == owner.replace("%%", "%")


def test_doubled_percent_sign_reads_as_it_does_in_the_existing_client(write: Write) -> None:
    text = "[spalloc]\nowner = 100%%\n"
    existing = configparser.ConfigParser()
    existing.read_string(text)
    assert read(write(text)).owner == existing.get("spalloc", "owner") == "100%"


def test_value_that_a_later_place_replaces_need_not_be_valid(write: Write) -> None:
    bad = write("[spalloc]\nport = nonsense\n")
    assert read(bad, write("[spalloc]\nport = 5\n")).port == 5
    assert read(bad, SPALLOC_PORT="6").port == 6


def test_line_that_is_indented_by_mistake_is_explained(write: Write) -> None:
    message = refusal(write("[spalloc]\nhostname = x\n  owner = me\n"))
    assert "line 2: hostname cannot be 'x\\nowner = me'" in message
    assert message.endswith("; an indented line continues the one above it")


def test_remark_after_a_value_is_explained(write: Write) -> None:
    message = refusal(write("[spalloc]\nport = 22244  # the usual one\n"))
    assert message.endswith("; a comment needs a line of its own")


def in_a_file(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value).replace("%", "%%")


A_WORD = st.text("abcXYZ019.-é", min_size=1, max_size=20)
VALID: dict[str, st.SearchStrategy[object]] = {
    "hostname": st.none() | A_WORD,
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(wanted=st.fixed_dictionaries({}, optional=VALID))
def test_any_valid_settings_are_read_as_they_were_written(
    wanted: dict[str, Any], tmp_path: Path
) -> None:
    filename = tmp_path / "config"
    lines = [f"{name} = {in_a_file(value)}" for name, value in wanted.items()]
    filename.write_text("\n".join(["[spalloc]", *lines]), encoding="utf-8")
    assert read(str(filename)) == dataclasses.replace(read(), **wanted)


# ------------------------------------------------- files that are not as meant


def test_option_before_any_section_is_refused(write: Write) -> None:
    filename = write("\nhostname = x\n")
    assert refusal(filename) == f"{filename}, line 2: put [spalloc] on a line before 'hostname = x'"


def test_option_given_twice_in_a_file_is_refused(write: Write) -> None:
    filename = write("[spalloc]\nport = 1\nPort = 2\n")
    assert refusal(filename) == f"{filename}, line 3: option 'port' is given again: remove one"


def test_section_given_twice_in_a_file_is_refused(write: Write) -> None:
    filename = write("[spalloc]\nport = 1\n[spalloc]\n")
    assert refusal(filename) == (
        f"{filename}, line 3: section 'spalloc' begins again: join the two"
    )


def test_line_that_is_no_option_is_refused(write: Write) -> None:
    filename = write("[spalloc]\nport = 1\nhostname\n")
    assert refusal(filename).startswith(f"{filename}, line 3: this is no 'option = value'")


def test_text_that_is_not_utf_8_is_refused(write: Write) -> None:
    filename = write("[spalloc]\nowner = Zoë\n".encode("latin-1"))
    assert refusal(filename) == (
        f"{filename}, line 2: this is not UTF-8 text: save the file as UTF-8"
    )


def test_byte_order_mark_does_no_harm(write: Write) -> None:
    assert read(write(b"\xef\xbb\xbf[spalloc]\r\nport = 9\r\n")).port == 9


def test_separators_of_other_alphabets_do_not_end_a_line(write: Write) -> None:
    message = refusal(write("[spalloc]\n# a\u2028b\x0bc\x0cd\nport = x\n"))
    assert ", line 3: port cannot be 'x'" in message


def test_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "loop"
    link.symlink_to(link)
    message = refusal(str(link))
    assert message.startswith(f"{link}: this configuration file cannot be read (")
    assert message.endswith("make it readable, or move it out of the way")


def test_impossible_file_name_is_refused() -> None:
    assert "cannot be read" in refusal("a\0b")


# An administrator may read every file, so the question is asked as somebody else.
AS_SOMEBODY_ELSE = """
import encodings.utf_8_sig, os, sys, warnings
from spalloc_gevent.config import read_config
from spalloc_gevent.errors import ConfigError
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.seteuid(65534)
warnings.showwarning = lambda message, *rest, **more: print("warning:", message)
try:
    print(read_config([sys.argv[2]], {})["port"])
except ConfigError as error:
    print("error:", error)
"""


def read_as_somebody_else(folder: Path, filename: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY_ELSE, str(folder), filename],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    return run.stdout


def test_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "secret").write_text("[spalloc]\nport = 5\n")
    (tmp_path / "secret").chmod(0)
    assert read_as_somebody_else(tmp_path, "secret") == (
        "error: secret: this configuration file cannot be read (Permission denied): "
        "make it readable, or move it out of the way\n"
    )


def test_folder_that_may_not_be_entered_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0)
    try:
        printed = read_as_somebody_else(tmp_path, "closed/spalloc")
    finally:
        closed.chmod(0o700)
    assert printed == (
        "warning: closed/spalloc: passed over, because this user may not enter its folder\n22244\n"
    )


def test_folder_in_place_of_a_file_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(ConfigWarning) as caught:
        assert read(str(tmp_path)) == read()
    assert [str(warning.message) for warning in caught] == [
        f"{tmp_path}: passed over, because it is a folder and not a configuration file"
    ]


@pytest.mark.parametrize("kind", ["named pipe", "device"])
def test_pipe_or_device_in_place_of_a_file_is_passed_over_with_a_warning(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "config"
    if kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    with pytest.warns(ConfigWarning) as caught:
        assert read(str(path)) == read()
    assert [str(warning.message) for warning in caught] == [
        f"{path}: passed over, because it is a pipe or a device, and not a configuration file"
    ]


def test_file_that_is_linked_to_nothing_is_empty_and_no_matter_of_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.symlink_to(os.devnull)
    assert read(str(path)) == read()


def test_unknown_option_is_a_warning_that_names_file_option_and_nearest(write: Write) -> None:
    filename = write("[spalloc]\nhost_name = x\nport = 4\n")
    with pytest.warns(ConfigWarning) as caught:
        assert read(filename).port == 4
    (warning,) = caught
    assert str(warning.message) == (
        f"{filename}: passed over 'host_name', because there is no such option; "
        "the nearest is 'hostname'"
    )


def test_file_without_the_section_is_passed_over_with_a_warning(write: Write) -> None:
    filename = write("[Spalloc]\nport = 4\n")
    with pytest.warns(ConfigWarning) as caught:
        assert read(filename) == read()
    assert [str(warning.message) for warning in caught] == [
        f"{filename}: passed over, because it has no section [spalloc]"
    ]


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


def test_bad_value_is_found_on_its_line_when_the_default_section_names_it_too(
    write: Write,
) -> None:
    assert ", line 5: port" in refusal(write("[DEFAULT]\nport = 1\n\n[spalloc]\nport = x\n"))


def test_bad_value_of_the_default_section_is_found_on_its_line(write: Write) -> None:
    assert ", line 4: port" in refusal(write("[spalloc]\n\n[DEFAULT]\nport = x\n"))


PADDING = st.lists(
    st.sampled_from(["", "# port = 1", "; x", "[other]\nport = 1\n[spalloc]"]), max_size=1
) | st.lists(st.sampled_from(["", "# port = 1", "; x"]), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(above=PADDING, between=PADDING.filter(lambda p: not any("[" in line for line in p)))
def test_line_of_a_bad_value_is_named_wherever_it_stands(
    above: list[str], between: list[str], tmp_path: Path
) -> None:
    head = above if any("[spalloc]" in line for line in above) else [*above, "[spalloc]"]
    text = "\n".join([*head, "owner = a", "  port = 3", *between, "port = bad", "machine = m"])
    filename = tmp_path / "config"
    filename.write_text(text, encoding="utf-8")
    wanted = text.split("\n").index("port = bad") + 1
    assert refusal(str(filename), SPALLOC_OWNER="me").startswith(f"{filename}, line {wanted}: port")


INI_PIECES = st.sampled_from(
    [
        *("[spalloc]", "[DEFAULT]", "[x]", "[", "]", "[]", "port", "tags", "=", ":", " ", "\t"),
        *("\n", "\n", "\r", "\r\n", "1", "None", "%", "%(", "#", ";", '"'),
        *("é", "\x00", "\ufeff", "\u2028"),
    ]
)


def complaint_about(filename: str) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        try:
            load_config([filename], {})
        except ConfigError as error:
            return str(error)
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
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
    complaint = complaint_about(str(filename))
    if complaint is not None:
        assert len(complaint.splitlines()) == 1
        assert complaint.startswith(f"{filename}, line ")


# ------------------------------------------------------------------- the views


def test_read_config_gives_the_keys_of_the_existing_client(write: Write) -> None:
    assert config.read_config([], {}) == {
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


def test_config_has_a_field_for_every_option_and_is_frozen() -> None:
    assert [field.name for field in dataclasses.fields(Config)] == NAMES
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_defaults_and_parsed_values_have_the_type_of_their_field(option: config.Option) -> None:
    hint = typing.get_type_hints(Config)[option.name]
    types = tuple(typing.get_origin(t) or t for t in typing.get_args(hint) or (hint,))
    assert type(option.default) in types
    assert type(option.parse("1")) in types


def test_files_may_be_paths(write: Write) -> None:
    path = Path(write("[spalloc]\nport = 8\n"))
    assert load_config([path], {}).port == 8


def test_filenames_may_be_consumed_only_once(write: Write) -> None:
    assert load_config(iter([write("[spalloc]\nport = 8\n")]), {}).port == 8


@pytest.mark.parametrize("name", ["config", b"config", Path("config")])
def test_one_name_in_place_of_a_list_of_names_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError, match="must be a list of file names"):
        config.read_config(name, {})


def test_config_error_is_a_value_error_of_this_package() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ConfigError, SpallocError)


# ------------------------------------------------------------- the search path


def test_directories_of_the_environment_are_respected() -> None:
    path = search_path(XDG_CONFIG_DIRS="/etc/first:/etc/second", XDG_CONFIG_HOME="/elsewhere")
    assert path == [
        "/etc/second/spalloc",
        "/etc/first/spalloc",
        "/elsewhere/spalloc",
        "./.spalloc",
    ]


def test_names_of_the_three_files_are_those_at_the_end_of_the_search_path() -> None:
    assert config.SEARCH_PATH[-3:] == [
        config.SYSTEM_CONFIG_FILE,
        config.USER_CONFIG_FILE,
        config.CWD_CONFIG_FILE,
    ]
    assert os.path.normpath(config.CWD_CONFIG_FILE) == ".spalloc"


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_user_without_a_home_has_no_file_and_the_other_places_count(home: dict[str, str]) -> None:
    program = (
        "from spalloc_gevent import config; print(config.SEARCH_PATH, config.USER_CONFIG_FILE)"
    )
    assert of_nobody(program, **home) == "['/etc/xdg/spalloc', './.spalloc'] None\n"


def test_user_without_a_home_has_a_file_where_the_environment_names_its_folder() -> None:
    program = "from spalloc_gevent import config; print(config.SEARCH_PATH[-2])"
    assert of_nobody(program, XDG_CONFIG_HOME="/elsewhere") == "/elsewhere/spalloc\n"


def test_home_that_an_older_platformdirs_leaves_as_a_tilde_is_none() -> None:
    program = (
        "import platformdirs; platformdirs.user_config_dir = lambda name: '~/.config/' + name\n"
        "from spalloc_gevent import config; print(config.SEARCH_PATH)"
    )
    assert of_nobody(program) == "['/etc/xdg/spalloc', './.spalloc']\n"


@pytest.mark.parametrize(
    "command", ["alloc", "batch", "ps", "job", "machine", "where-is", "simulator", "config"]
)
def test_every_command_starts_for_a_user_without_a_home(command: str) -> None:
    program = "from spalloc_gevent.__main__ import main; sys.exit(main(sys.argv[1:]))"
    assert of_nobody(program, command, "--help").startswith("usage: ")
