"""The one error that users meet."""


class CovidLungsError(Exception):
    """A fault that the user can mend.

    The message names the file or value, what is wrong with it, and the remedy.
    """

    def _render_traceback_(self) -> list[str]:
        """Let a notebook show the message alone: IPython calls this instead of its traceback."""
        return [f"{type(self).__name__}: {self}"]
