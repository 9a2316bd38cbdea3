# mypy: disable-error-code="import-not-found, import-untyped"
"""Runs SpiNNFrontEndCommon's allocator: ``HOST PORT AVOIDED``; in an environment that has it.

It knows nothing of the client: that is what ``import spalloc_client`` gives.
"""

from __future__ import annotations

import sys
import threading

from spinn_front_end_common.data.fec_data_writer import FecDataWriter
from spinn_front_end_common.interface.config_setup import add_spinnaker_cfg
from spinn_front_end_common.interface.interface_functions import spalloc_allocate_job_old
from spinn_utilities.config_holder import clear_cfg_files, set_config


def configure(host: str, port: str, avoided: str) -> None:
    clear_cfg_files(True)
    add_spinnaker_cfg()
    FecDataWriter.mock().set_n_required(3, None)
    set_config("Reports", "write_provenance", "False")
    set_config("Machine", "spalloc_server", host)
    set_config("Machine", "spalloc_port", port)
    set_config("Machine", "spalloc_user", "me")
    set_config("Machine", "spalloc_avoid_boards", avoided)


def waiting_thread() -> threading.Thread:
    (thread,) = (t for t in threading.enumerate() if t.name == "SpallocJobController")
    return thread


def main() -> None:
    configure(*sys.argv[1:])
    hostname, connections, controller = spalloc_allocate_job_old()
    print("boards:", hostname, sorted(connections.items()))
    print("racks:", [tuple(controller.where_is_machine(x, y)) for x, y in sorted(connections)])
    for power in (False, True):
        controller.set_power(power)
        print("power:", controller.power)
    waits = waiting_thread()
    print("a daemon thread waits:", waits.daemon and waits.is_alive())
    controller.close()
    waits.join(60)
    print("it waits no more:", not waits.is_alive())


if __name__ == "__main__":
    main()
