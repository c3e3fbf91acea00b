"""Evidence: metrics on arrays, paired comparisons, result tables.

Knows nothing of models or data sets: arrays in, numbers and words out.
"""

from mtlrec_utils.evidence.alignment import (
    Alignment,
    chance_alignment,
    procrustes,
)
from mtlrec_utils.evidence.arms import (
    ArmDifference,
    difference_of_means,
    users_needed,
)
from mtlrec_utils.evidence.catalogue_metrics import (
    coverage,
    exposure_gini,
    popularity_bias,
    popularity_buckets,
    popularity_rank,
)
from mtlrec_utils.evidence.compare import (
    Comparison,
    compare,
    compare_per_group,
)
from mtlrec_utils.evidence.families import (
    compare_many,
    comparison_table,
    holm_corrected,
)
from mtlrec_utils.evidence.gain import improvement, multi_task_gain
from mtlrec_utils.evidence.metrics import (
    GroupedAUC,
    auc,
    gauc,
    gauc_with_counts,
    higher_is_better,
    mae,
    r2,
    rmse,
)
from mtlrec_utils.evidence.probability_metrics import (
    CalibrationBins,
    accuracy,
    brier,
    calibration_bins,
    calibration_ratio,
    expected_calibration_error,
    log_loss,
    multiclass_log_loss,
    normalised_entropy,
)
from mtlrec_utils.evidence.ranking_metrics import (
    FullRanking,
    full_ranking,
    hit_rate_at_k,
    mean_reciprocal_rank,
    ndcg_at_k,
    recall_at_k,
)
from mtlrec_utils.evidence.results import (
    ResultTable,
    library_versions,
    read_results,
    verdict_disagreements,
    write_results,
)
from mtlrec_utils.evidence.sampled_metrics import sampled_hit_rate
from mtlrec_utils.evidence.verdicts import (
    Interval,
    holm,
    paired_interval,
    paired_row,
    verdict,
)

__all__ = [
    "Alignment",
    "ArmDifference",
    "CalibrationBins",
    "Comparison",
    "FullRanking",
    "GroupedAUC",
    "Interval",
    "ResultTable",
    "accuracy",
    "auc",
    "brier",
    "calibration_bins",
    "calibration_ratio",
    "chance_alignment",
    "compare",
    "compare_many",
    "compare_per_group",
    "comparison_table",
    "coverage",
    "difference_of_means",
    "expected_calibration_error",
    "exposure_gini",
    "full_ranking",
    "gauc",
    "gauc_with_counts",
    "higher_is_better",
    "hit_rate_at_k",
    "holm",
    "holm_corrected",
    "improvement",
    "library_versions",
    "log_loss",
    "mae",
    "mean_reciprocal_rank",
    "multi_task_gain",
    "multiclass_log_loss",
    "ndcg_at_k",
    "normalised_entropy",
    "paired_interval",
    "paired_row",
    "popularity_bias",
    "popularity_buckets",
    "popularity_rank",
    "procrustes",
    "r2",
    "read_results",
    "recall_at_k",
    "rmse",
    "sampled_hit_rate",
    "verdict",
    "verdict_disagreements",
    "write_results",
    "users_needed",
]
