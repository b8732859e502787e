"""What a person is told at the end of a rehearsal: its numbers, the executed notebook."""

from flipnb.workbench.rehearsal import describe_numbers, last_rehearsal


def test_the_first_numbers_are_told_to_three_digits_and_the_rest_is_counted():
    assert describe_numbers({"loss": 0.56149, "accuracy": 0.8}) == "loss 0.561, accuracy 0.8"
    assert describe_numbers(dict.fromkeys("abcdef", 1.0)) == "a 1, b 1, c 1, d 1, 2 more"


def test_a_rehearsal_says_how_long_it_took_and_where_the_executed_notebook_is(tutorial):
    found = last_rehearsal(tutorial)
    assert found.describe() == f"Rehearsed on the twin in {found.seconds:.0f} s: {describe_numbers(found.reports[-1])}."
    assert found.executed.is_file()
