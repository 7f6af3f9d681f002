"""What ``--help`` says: examples that can be copied, values that are named, defaults that hold."""

import re
import shlex

import pytest

from eomtlib import commands
from eomtlib.commands.options.shared import NANO
from eomtlib.commands.options.verbs import VERBS
from eomtlib.commands.verbs.fit import read_configuration
from eomtlib.study.parameters.defaults import embedded_defaults
from eomtlib.study.parameters.settings import PARAMETERS, Settings, parameters_of


def help_of(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as ended:
        commands.main([verb, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_ends_in_examples_that_its_parser_takes(verb, capsys, monkeypatch):
    shown = help_of(verb, capsys, monkeypatch)
    lines = shown.partition("\nExamples:\n")[2].strip().splitlines()
    assert lines, f"{verb}: its docstring in commands/options/verbs.py needs 'Examples:'"
    for line in lines:
        program, *arguments = shlex.split(line.partition(">")[0])
        assert program == "eomtlib"
        chosen = commands._parse(arguments)
        assert chosen.verb == verb
        if verb == "fit":
            given = read_configuration(chosen)
            own = parameters_of(Settings)
            Settings(**{name: value for name, value in given.items() if name in own})


@pytest.mark.parametrize("verb", VERBS)
def test_no_value_is_called_by_its_option_and_no_line_is_wider_than_asked(
    verb, capsys, monkeypatch
):
    shown = help_of(verb, capsys, monkeypatch)
    assert "VALUE" not in shown.replace("NAME=VALUE", "").replace("-p NAME VALUE", "")
    for option, value in re.findall(r"^  --([\w-]+) ([A-Z_]{2,})", shown, re.MULTILINE):
        assert value != option.replace("-", "_").upper()
    assert max(map(len, shown.splitlines())) <= 100
    assert "--quiet" in shown
    assert "--json" in shown


def test_defaults_that_help_names_are_those_of_nano():
    defaults = embedded_defaults("nano", "cpu")
    assert {name: str(getattr(defaults, name)) for name in NANO} == NANO


def test_every_parameter_stands_in_one_group_of_fit(capsys, monkeypatch):
    shown = help_of("fit", capsys, monkeypatch)
    for name in set(PARAMETERS) - {"seed", "train", "wait"}:
        assert len(re.findall(rf"^  --{name.replace('_', '-')} ", shown, re.MULTILINE)) == 1


def test_exit_statuses_are_documented(capsys):
    with pytest.raises(SystemExit):
        commands.main(["--help"])
    shown = capsys.readouterr().out
    assert re.findall(r"^  (\d+) ", shown, re.MULTILINE) == ["0", "1", "2", "130"]
