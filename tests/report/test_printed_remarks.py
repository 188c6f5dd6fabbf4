"""Remarks as they are printed."""

from helpers.report import remarks
from helpers.report.remarks import printing


def test_a_remark_is_printed_in_short_lines_that_keep_its_own(capsys):
    remark = "one " * 60 + "\ntwo " * 2
    remarks.say(remark)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= printing.WIDTH
    assert " ".join(lines).split() == remark.split()
    assert lines[-2:] == ["two", "two"]
