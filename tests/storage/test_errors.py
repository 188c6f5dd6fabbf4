from IPython.core.interactiveshell import InteractiveShell

from helpers.storage.errors import CovidLungsError

CODE = "from helpers.storage.errors import CovidLungsError\nraise CovidLungsError('x.csv: no.')"


def test_a_notebook_shows_the_message_alone(capsys):
    result = InteractiveShell.instance().run_cell(CODE)
    InteractiveShell.clear_instance()
    output = capsys.readouterr()
    assert isinstance(result.error_in_exec, CovidLungsError)
    assert (output.out + output.err).strip() == "CovidLungsError: x.csv: no."
