"""Shared code of the programs: flags in groups, --help, errors without traceback."""

import contextlib
import dataclasses
import difflib
import errno
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from absl import flags

from adapters_tf.errors import UserError

EXIT_USER_ERROR = 2
# Errors of the system that come from the name of a file, its rights or the disk.
_OF_FILES = {
    errno.EACCES,
    errno.EDQUOT,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
_HELP = {"--help", "-h", "-help", "--helpfull"}
_CONTINUES = "the same command continues the run"


class Groups:
    """The flags of a program, in the groups that `--help` shows.

    Args:
        usage: What the program does, in one line, and an example.
    """

    def __init__(self, usage: str) -> None:
        self.usage = usage
        self.flags = flags.FlagValues()
        self._groups: dict[str, list[str]] = {}
        self._group = ""

    def group(self, title: str) -> None:
        """Start a group for the flags defined next."""
        self._group = title

    def _add(self, define: Callable[..., object], name: str, *args: object) -> None:
        define(name, *args, flag_values=self.flags)
        self._groups.setdefault(self._group, []).append(name)

    def string(self, name: str, default: str | None, help_text: str) -> None:
        """Define a text flag."""
        self._add(flags.DEFINE_string, name, default, help_text)

    def strings(self, name: str, default: list[str] | None, help_text: str) -> None:
        """Define a flag of comma-separated texts."""
        self._add(flags.DEFINE_list, name, default, help_text)

    def integer(self, name: str, default: int | None, help_text: str) -> None:
        """Define an integer flag."""
        self._add(flags.DEFINE_integer, name, default, help_text)

    def number(self, name: str, default: float | None, help_text: str) -> None:
        """Define a number flag."""
        self._add(flags.DEFINE_float, name, default, help_text)

    def boolean(self, name: str, default: bool | None, help_text: str) -> None:
        """Define a flag that is on (`--name`) or off (`--noname`)."""
        self._add(flags.DEFINE_bool, name, default, help_text)

    def choice(
        self, name: str, default: str | None, choices: tuple[str, ...], help_text: str
    ) -> None:
        """Define a flag with a fixed set of values."""
        self._add(flags.DEFINE_enum, name, default, list(choices), help_text)

    def help(self) -> str:
        """Return the text of `--help`."""
        lines = [self.usage]
        for title, names in self._groups.items():
            lines += ["", f"{title}:"]
            for name in names:
                flag = self.flags[name]
                default = flag.default
                if isinstance(default, list):
                    default = ",".join(default)
                note = "" if default in (None, "") else f" [{default}]"
                lines += _entry(_head(name), f"{flag.help}{note}")
        last = _entry(_head("flagfile"), "read flags from a file")
        return "\n".join([*lines, "", *last])


def _head(name: str) -> str:
    return f"  --{name:<20} "


def _entry(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, 88, initial_indent=head, subsequent_indent=" " * len(head)
    )


@dataclasses.dataclass(frozen=True)
class SubJob:
    """One job of a program with several jobs.

    Attributes:
        name: The first word of the command line.
        summary: What it does, in a line of the program's `--help`.
        define: Function that returns its flags.
        main: Function that runs it with the values of the flags.
    """

    name: str
    summary: str
    define: Callable[[], Groups]
    main: Callable[[Any], None]


def run_sub_jobs(
    usage: str, jobs: Sequence[SubJob], interrupted: str = _CONTINUES
) -> None:
    """Run the job that the command line's first word names; see `run`.

    Args:
        usage: What the program does, in one line, and an example.
        jobs: Its jobs, in the order of `--help`.
        interrupted: As for `run`.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in _HELP:
        entries = [_entry(f"  {job.name:<12} ", job.summary) for job in jobs]
        lines = [line for entry in entries for line in entry]
        program = os.path.basename(sys.argv[0])
        print("\n".join([usage, "", "Jobs:", *lines]))
        print(f"\nThe flags of one: {program} {jobs[0].name} --help")
        sys.exit(0)
    for job in jobs:
        if job.name == name:
            argv = [f"{sys.argv[0]} {name}", *sys.argv[2:]]
            return run(job.define(), job.main, argv, interrupted)
    names = [job.name for job in jobs]
    near = difflib.get_close_matches(name, names, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    received = repr(name) if name else "no job"
    print(
        f"error: The first word must be one of these jobs: {', '.join(names)}. "
        f"Received: {received}.{hint} See --help.",
        file=sys.stderr,
    )
    sys.exit(EXIT_USER_ERROR)


def require(values: Any, *names: str) -> None:
    """Check that the command line has these flags.

    Raises:
        UserError: if a flag is missing; names the first.
    """
    for name in names:
        if not values[name].value:
            raise UserError(f"--{name} is needed. See --help.")


def run(
    groups: Groups,
    main: Callable[[flags.FlagValues], None],
    argv: Sequence[str] | None = None,
    interrupted: str = _CONTINUES,
) -> None:
    """Parse the command line, run `main`, and exit with its status.

    The status is 0 on success; 2, with a message on stderr, for errors that the user
    can fix (75 if rerunning the command is enough); 130 after Ctrl-C, and 143 after
    SIGTERM. The last two end child processes and remove temporary files.

    Args:
        groups: The program's flags.
        main: Function that runs the program with the values of the flags.
        argv: The command line; `sys.argv` by default.
        interrupted: The state after Ctrl-C or SIGTERM, for the message.
    """
    argv = sys.argv if argv is None else argv
    if _HELP & set(argv[1:]):
        print(groups.help())
        sys.exit(0)
    try:
        rest = groups.flags(argv)[1:]
        if rest:
            raise UserError(
                f"Options begin with --name. Received: {' '.join(rest)}. See --help."
            )
        with _sigterm_unwinds():
            main(groups.flags)
    except (UserError, ValueError, flags.Error) as error:
        if os.environ.get("ADAPTERS_TF_TRACEBACK"):
            raise
        # The user can also fix a ValueError from this library's own checks. Any other
        # error is a bug and shows its traceback.
        if isinstance(error, UserError | flags.Error) or _from_configuration(error):
            print(f"error: {error}", file=sys.stderr)
            sys.exit(getattr(error, "exit_code", EXIT_USER_ERROR))
        raise
    except KeyboardInterrupt:
        print(f"\ninterrupted; {interrupted}", file=sys.stderr)
        sys.exit(130)
    except _Terminated:
        print(f"\nterminated; {interrupted}", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    except OSError as error:
        if error.errno not in _OF_FILES or os.environ.get("ADAPTERS_TF_TRACEBACK"):
            raise
        print(f"error: {error.filename!r}: {error.strerror}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


class _Terminated(BaseException):
    """A SIGTERM came."""


@contextlib.contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM raise an error, so that the blocks it ends clean up.

    Nothing changes where SIGTERM has a handler already.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # While cleaning up.
        raise _Terminated

    free = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if not free or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _from_configuration(error: BaseException) -> bool:
    """Whether this library raised the error itself."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return module.startswith("adapters_tf.")
