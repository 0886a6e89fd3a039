"""A run that is killed goes on where it was, to the same bytes."""

import pytest

from adapters_tf.bin import train


@pytest.mark.slow
def test_killed_run_ends_with_the_same_bytes(
    call, start, run_flags, check_goes_on, tmp_path, capsys
):
    killed = tmp_path / "killed"
    # Epochs have 11 steps, so step 26 is in the middle of the third.
    process = start(run_flags(killed), step=26)
    process.kill()
    process.wait()
    assert not (killed / "metrics.json").exists()

    assert call(train, *run_flags(killed), "--seed=5") == 2
    error = capsys.readouterr().err
    assert "unfinished run of other settings (seed was 0 and is 5)" in error

    check_goes_on(killed)
