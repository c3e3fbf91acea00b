"""Closed forms and the plan, by hand values."""

import numpy as np
import pytest

from mtlrec_utils.evidence import scale_plan as plan
from mtlrec_utils.evidence.scale_plan import Machine, StepCost, Workload

# 1000 rows of 2 values, 1 slot: 16 kB; 10 look-ups a row.
WORK = Workload(
    rows=1e6, ids=1000, dimension=2, fields=10, dense_values=100, slots=1
)
MACHINE = Machine(
    memory_gigabytes=1, gigabits_per_second=8e-6, speed=2, price_per_hour=3
)
COST = StepCost(fixed=0.1, per_row=0.01)


def test_a_ring_sends_every_value_twice_but_the_own_share():
    assert plan.ring_bytes(100, 1) == 0
    assert plan.ring_bytes(100, 2) == 400  # once all, in two halves
    assert plan.ring_bytes(100, 4) == 600
    assert plan.ring_bytes(100, 10**9) == pytest.approx(800)


def test_gathered_rows_go_to_everybody():
    assert plan.gathered_bytes(5, 3, 1) == 0
    assert plan.gathered_bytes(5, 3, 2) == 5 * (3 * 4 + 4)
    assert plan.gathered_bytes(5, 3, 4) == 3 * 5 * 16


def test_distinct_ids_by_hand():
    half = [0.5, 0.5]
    assert plan.expected_distinct(half, 0) == 0
    assert plan.expected_distinct(half, 1) == pytest.approx(1)
    assert plan.expected_distinct(half, 2) == pytest.approx(1.5)
    assert plan.expected_distinct([1.0, 0.0], 7) == 1
    assert plan.expected_distinct([0.9, 0.1], 3) == pytest.approx(
        2 - 0.1**3 - 0.9**3
    )
    tiny = np.full(10**6, 1e-6)
    assert plan.expected_distinct(tiny, 10) == pytest.approx(10, rel=1e-5)


def test_distinct_ids_as_drawn():
    p = np.arange(1, 51) ** -1.1
    p /= p.sum()
    rng = np.random.default_rng(0)
    drawn = [len(set(rng.choice(50, 40, p=p))) for _ in range(4000)]
    spread = np.std(drawn) / np.sqrt(len(drawn))
    assert abs(np.mean(drawn) - plan.expected_distinct(p, 40)) < 4 * spread


def test_distinct_rows_of_a_matrix():
    ids = np.array([[0, 5], [1, 5]] * 4)
    counted, expected = plan.distinct_rows(ids, 1)
    assert (counted, expected) == (2, pytest.approx(2))
    counted, expected = plan.distinct_rows(ids, 8)
    assert (counted, expected) == (3, pytest.approx(1 + 2 * (1 - 0.5**8)))
    with pytest.raises(ValueError, match="rows of ids=8"):
        plan.distinct_rows(ids, 9)


def test_a_line_through_exact_times_is_found_exactly():
    found = plan.fit_step_cost([10, 100, 1000], [0.2, 1.1, 10.1])
    assert found.fixed == pytest.approx(0.1)
    assert found.per_row == pytest.approx(0.01)
    assert found.seconds(50) == pytest.approx(0.6)


def test_a_plan_by_hand():
    assert plan.table_gigabytes(WORK) == pytest.approx(16e-6)
    assert plan.machines_for_memory(WORK, MACHINE) == 1
    small = Machine(memory_gigabytes=5e-6)
    assert plan.machines_for_memory(WORK, small) == 4
    # ring: 400 bytes; 50 of 100 look-ups are away: 2 vectors of 8, a number
    assert plan.step_bytes(WORK, 2, 10) == 400 + 50 * (16 + 4)
    # 50,000 steps of 0.2 s / 2 computing, 1,400 bytes at 1,000 B/s
    assert plan.hours(WORK, MACHINE, COST, 2, 10) == pytest.approx(
        50_000 * (0.1 + 1.4) / 3600
    )
    assert plan.hours(WORK, MACHINE, COST, 1, 10) == pytest.approx(
        100_000 * 0.1 / 3600
    )


def test_the_table_of_a_plan():
    table = plan.capacity_plan(WORK, MACHINE, COST, batch=10)
    value = table.set_index("quantity")["value"]
    assert value["machines"] == 1
    assert value["time"] == pytest.approx(100_000 * 0.1 / 3600)
    assert value["cost"] == pytest.approx(3 * value["time"])
    assert value["sent by a machine"] == value["sending"] == 0
    assert value["share of computing"] == 1
    basis = table.set_index("quantity")["basis"]
    assert basis["time of a row"] == "measured"
    assert basis["network"] == basis["speed of a machine"] == "assumed"
    assert basis["table and slots"] == "closed form"
    assert basis["cost"] == "measured and assumed"


def test_a_deadline_takes_the_fewest_machines():
    fast = Machine(gigabits_per_second=1e9, speed=2)
    alone = plan.hours(WORK, fast, COST, 1, 10)
    table = plan.capacity_plan(
        WORK, fast, COST, batch=10, deadline_hours=alone / 3.5
    )
    value = table.set_index("quantity")["value"]
    assert value["machines"] == 4
    with pytest.raises(ValueError, match="Not even 3 machines"):
        plan.capacity_plan(
            WORK, fast, COST, batch=10, deadline_hours=alone / 4.5, most=3
        )


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        plan.expected_distinct([0.5, 0.4], 3)
    with pytest.raises(ValueError, match="two sizes"):
        plan.fit_step_cost([8, 8], [1.0, 1.0])
    with pytest.raises(ValueError, match="do not take longer"):
        plan.fit_step_cost([8, 80], [1.0, 0.5])
    with pytest.raises(ValueError, match="workers=0"):
        plan.ring_bytes(1, 0)
