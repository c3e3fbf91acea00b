"""The capstone: a brief, an A/B test whose truth is known, and its grading.

What is graded is one function,

    def recommender(films, books):
        ...  # train on two logs
        return score  # rows -> {"click": [n], "like": [n], "finish": [n]}

with `rows` a frame of impressions without answers. Everything else is given.
"""

from mtlrec_utils.capstone.brief import (
    CANDIDATES,
    SLATE,
    TASKS,
    WORTH,
    Brief,
    expected_points,
)
from mtlrec_utils.capstone.grading import Grade, grade
from mtlrec_utils.capstone.handing_in import completion_page, hand_in
from mtlrec_utils.capstone.online import (
    Visits,
    ab_test,
    draw_visits,
    oracle,
    ranked,
    true_points,
)
from mtlrec_utils.capstone.policies import given_policies

__all__ = [
    "CANDIDATES",
    "SLATE",
    "TASKS",
    "WORTH",
    "Brief",
    "Grade",
    "Visits",
    "ab_test",
    "completion_page",
    "draw_visits",
    "expected_points",
    "given_policies",
    "grade",
    "hand_in",
    "oracle",
    "ranked",
    "true_points",
]
