"""What can go wrong in a run, and the exit status for each."""

STATUS_USAGE = 2
STATUS_TIMEOUT = 124
STATUS_FAILED = 125


class LaunchError(Exception):
    """The run failed; the text says which node and why."""

    status = STATUS_FAILED


class UsageError(LaunchError):
    """The options make no sense."""

    status = STATUS_USAGE


class NotYet(UsageError):
    """The option belongs to an issue that is still open."""


class RunTimeout(LaunchError):
    """The time given by --timeout is over."""

    status = STATUS_TIMEOUT
