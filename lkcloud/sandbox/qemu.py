# SPDX-License-Identifier: Apache-2.0
"""A machine in QEMU that boots disks without writing to them."""

from collections.abc import Sequence
from pathlib import Path

from lkcloud.sandbox.acceleration import accelerator
from lkcloud.sandbox.command import Accelerator, Bus, Drive, Firmware, Hardware, command, demand, missing
from lkcloud.sandbox.firmware import Architecture
from lkcloud.sandbox.keeper import Kept

__all__ = ["Accelerator", "Architecture", "Bus", "Drive", "Firmware", "VirtualMachine", "demand", "missing"]

CONSOLE_LIMIT = 64 << 20
"""Bytes of console output that are kept; a guest that prints for ever must not fill the disk."""


class VirtualMachine:
    """One machine without a network: starts once, runs until the guest powers off or reboots, or until `stop`.

    HOME is a folder of its own for the console, QEMU's log and what the guest writes to its drives. The machine ends
    with the process that started it, however that ends. ACCELERATOR is what this system can do unless given.
    """

    def __init__(
        self,
        *,
        drives: Sequence[Drive],
        firmware: Firmware,
        home: Path,
        architecture: Architecture = "x86_64",
        memory_mib: int = 512,
        bus: Bus = "nvme",
        accelerator: Accelerator | None = None,
    ) -> None:
        self._hardware = Hardware(tuple(drives), firmware, architecture, memory_mib, bus)
        self._home = home.absolute()
        self._accelerator = accelerator
        self._process: Kept | None = None
        self._ended_by_us = False

    def start(self) -> None:
        """Start the machine. Raises UsageError naming the packages if QEMU or its firmware is not installed."""
        assert self._process is None, "a machine starts once"
        demand(self._hardware.architecture, self._hardware.firmware)
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen = self._accelerator or accelerator(self._hardware.architecture)
        self._process = Kept(
            command(self._hardware, chosen, self._home),
            home=self._home,
            output=self._console_file,
            errors=self._log_file,
            limit=CONSOLE_LIMIT,
        )

    def console(self) -> bytes:
        """Return all that the serial port has shown so far: the first 64 MiB of it."""
        return self._console_file.read_bytes() if self._console_file.exists() else b""

    def state(self) -> str:
        """Return `running`, `stopped`, or `failed: ` and QEMU's reason."""
        if self._process is None or self._ended_by_us:
            return "stopped"
        status = self._process.poll()
        log = self._log_file.read_text(errors="replace").strip()
        if status is None:
            # QEMU lives on after this one; its machine does not.
            return "failed: KVM internal error" if "KVM internal error" in log else "running"
        if status == 0:
            return "stopped"
        return f"failed: {log.splitlines()[-1] if log else f'QEMU ended with status {status}'}"

    def stop(self) -> None:
        """End the machine if it runs; again is no error."""
        if self._process is not None:
            self._ended_by_us = self._ended_by_us or self._process.poll() is None
            self._process.stop()

    @property
    def _console_file(self) -> Path:
        return self._home / "console"

    @property
    def _log_file(self) -> Path:
        return self._home / "qemu.log"
