"""When a crashed program starts again."""

from labtrawl.supervisor.restarts import CrashHistory, RestartPolicy, Verdict

POLICY = RestartPolicy()


def crashes(
    *at: float, ready_seconds: float = 0.0, code: int = 1, random: float = 1.0
) -> list[Verdict]:
    history = CrashHistory(POLICY)
    verdicts = []
    for now in at:
        history, verdict = history.crashed(now, ready_seconds, code, random)
        verdicts.append(verdict)
    return verdicts


def test_first_crash_starts_at_once_and_later_ones_wait_twice_as_long_each() -> None:
    waits = [verdict.wait_seconds for verdict in crashes(0, 1, 2, 3, 4)]
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0]


def test_chance_spreads_the_wait_down_to_nothing() -> None:
    assert [v.wait_seconds for v in crashes(0, 1, 2, random=0.0)] == [0.0, 0.0, 0.0]


def test_wait_has_a_ceiling() -> None:
    waits = [v.wait_seconds for v in crashes(*(61.0 * n for n in range(40)))]
    assert max(waits) == POLICY.ceiling_seconds


def test_sixth_crash_within_the_window_is_a_failure() -> None:
    verdicts = crashes(0, 10, 20, 30, 40, 50)
    assert [verdict.failed for verdict in verdicts] == [False] * 5 + [True]
    assert verdicts[-1] == Verdict(POLICY.retry_seconds, failed=True)


def test_crashes_spread_over_more_than_the_window_are_no_failure() -> None:
    assert not any(verdict.failed for verdict in crashes(*(13.0 * n for n in range(30))))


def test_steady_work_clears_the_history() -> None:
    verdicts = crashes(0, 1, 2, 3, 4, 5, 6, ready_seconds=10.0)
    assert verdicts == [Verdict(0.0, failed=False)] * 7


def test_unusable_settings_fail_at_once() -> None:
    assert crashes(0, code=78) == [Verdict(POLICY.retry_seconds, failed=True)]


def test_program_on_probation_fails_at_its_first_crash_and_is_cleared_by_steady_work() -> None:
    history, _ = CrashHistory(POLICY).crashed(0, 0, 78, 1.0)
    again, verdict = history.crashed(300, 5, 1, 1.0)
    assert verdict.failed
    cleared, verdict = again.crashed(600, 10, 1, 1.0)
    assert verdict == Verdict(0.0, failed=False)
    assert cleared == CrashHistory(POLICY, (600,))
