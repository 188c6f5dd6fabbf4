import pytest
from IPython.core.interactiveshell import InteractiveShell

from helpers.storage.errors import CovidLungsError

CODE = "from helpers.storage.errors import CovidLungsError\nraise CovidLungsError({!r})"
MESSAGE = "split.csv not found: run 02_split_data first."


@pytest.fixture
def shell():
    """A notebook's Python, without the kernel around it."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_a_notebook_shows_the_message_alone(shell, capsys):
    result = shell.run_cell(CODE.format(MESSAGE))
    output = capsys.readouterr()
    assert isinstance(result.error_in_exec, CovidLungsError)
    assert (output.out + output.err).strip() == f"CovidLungsError: {MESSAGE}"


def test_another_error_keeps_its_traceback(shell, capsys):
    shell.run_cell("1 / 0")
    output = capsys.readouterr()
    assert "Traceback" in output.out + output.err


def test_python_itself_shows_the_message_last():
    with pytest.raises(CovidLungsError, match="run 02_split_data first"):
        raise CovidLungsError(MESSAGE)
