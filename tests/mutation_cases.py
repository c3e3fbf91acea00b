"""Mistakes people make, each with the tests that must see it.

Those of the second table were found in published code for recommenders or
for multi-task learning; ``seen_in`` says where.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One mistake: in ``file``, ``right`` becomes ``wrong``."""

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]
    seen_in: str = ""


MUTATIONS = (
    Mutation(
        "gate softmax over the batch",
        "models/gating.py",
        "return powers / ops.sum(powers, axis=-1, keepdims=True)",
        "return powers / ops.sum(powers, axis=0, keepdims=True)",
        ("tests/test_layers.py", "-k", "softmax_over_the_expert_axis"),
    ),
    Mutation(
        "labels of two tasks swapped",
        "learning/losses.py",
        "                labels[task],\n",
        "                labels[self.tasks[-1]],\n",
        ("tests/test_training.py", "-k", "step_equals or a_task_the_model"),
    ),
    Mutation(
        "mask ignored",
        "learning/losses.py",
        "return ops.sum(ops.where(mask > 0, mask * losses, 0.0))",
        "return ops.sum(losses)",
        ("tests/test_losses.py", "-k", "masked or hand_values"),
    ),
    Mutation(
        "sum instead of mean",
        "learning/losses.py",
        "return masked_sum(losses, mask) / ops.where(count > 0, count, 1.0)",
        "return masked_sum(losses, mask)",
        ("tests/test_losses.py", "-k", "plain_mean or duplicated_batch"),
    ),
    Mutation(
        "frozen layer left trainable",
        "learning/steps.py",
        "        self.losses = TaskLosses(model)\n",
        "        model.trainable = True\n"
        "        for layer in model.layers:\n"
        "            layer.trainable = True\n"
        "        self.losses = TaskLosses(model)\n",
        ("tests/test_frozen_layers.py",),
    ),
    Mutation(
        "experts start alike",
        "models/initialisation.py",
        "def derived_seed(",
        "def derived_seed(*_, **__):\n    return 1\n\n\ndef _derived_seed(",
        ("tests/test_layers.py", "tests/test_multitask.py", "-k", "differ"),
    ),
    Mutation(
        "vocabulary learned from the row to encode",
        "data/vocabulary.py",
        "UNKNOWN = 0",
        "UNKNOWN = 2",
        ("tests/test_schema.py", "-k", "unknown"),
    ),
    Mutation(
        "conversions without a click let in",
        "data/tasks.py",
        "        _check_closed_rows(task, values, ~open_rows)\n",
        "",
        ("tests/test_funnel.py", "-k", "conversion_without_a_click"),
    ),
    Mutation(
        "entire space without the product",
        "models/funnel_layers.py",
        "return ops.sigmoid(click) * ops.sigmoid(conversion)",
        "return ops.sigmoid(conversion)",
        ("tests/test_funnel.py", "-k", "their_product"),
    ),
    Mutation(
        "counterfactual risk over clicked rows",
        "models/funnel_layers.py",
        "    every_row = True\n",
        "    every_row = False\n",
        ("tests/test_funnel.py", "-k", "mean_over_all_rows or click_share"),
    ),
    Mutation(
        "calibrator beside the graph",
        "models/aitm.py",
        "calibrated[later] = layer(",
        "layer(",
        ("tests/test_aitm.py", "-k", "leads_through"),
    ),
    Mutation(
        "verdict without looking at the interval",
        "evidence/verdicts.py",
        "def verdict(",
        "def verdict(low, high, higher_is_better=True):\n"
        "    return 'helps' if low + high > 0 else 'hurts'\n\n\n"
        "def _verdict(",
        ("tests/test_compare.py", "-k", "verdict or identical"),
    ),
)

MUTATIONS_SEEN = (
    Mutation(
        "one initialiser for all weights",
        "models/initialisation.py",
        "return type(initializer).from_config(config)",
        "return initializer",
        ("tests/test_layers.py", "-k", "reused_initialiser"),
        seen_in="Keras: an initialiser repeats its values",
    ),
    Mutation(
        "fans of a stack of experts",
        "models/layers.py",
        """initializer=PerExpert(
                        seeded(self.kernel_initializer, self.seed, i)
                    ),""",
        "initializer=seeded(self.kernel_initializer, self.seed, i),",
        ("tests/test_layers.py", "-k", "starts_like_a_dense"),
        seen_in="keras-mmoe: experts start three times too small",
    ),
    Mutation(
        "a label among the features",
        "data/schema_rules.py",
        "if task.label_column in columns:",
        "if False:",
        ("tests/test_schema.py", "-k", "label"),
        seen_in="torch-rechub: ESMM with an AUC of 1.0",
    ),
    Mutation(
        "shared gate over shared experts only",
        "models/ple.py",
        "if path == SHARED or owner in (path, SHARED)",
        "if owner in (path, SHARED)",
        ("tests/test_ple.py", "-k", "shared_gate_everybody"),
        seen_in="FuxiCTR: PLE",
    ),
    Mutation(
        "no progress from level to level",
        "models/ple.py",
        ")(paths[path])",
        ")(features)",
        ("tests/test_ple.py", "-k", "level_below or reaches_anothers"),
        seen_in="LibMTL: PLE without a shared path",
    ),
    Mutation(
        "gates of every level read the raw input",
        "models/ple.py",
        "path: mixture(path, hidden,",
        "path: mixture(path, features,",
        ("tests/test_ple.py", "-k", "level_below or by_hand"),
        seen_in="Merlin: PLE",
    ),
    Mutation(
        "cross-stitch starts with ones",
        "models/cross_stitch.py",
        "np.fill_diagonal(start, own_share)",
        "start[:] = 1.0",
        ("tests/test_cross_stitch.py", "-k", "sum_one"),
        seen_in="LibMTL: activations double at every depth",
    ),
    Mutation(
        "no clean end of the simplex",
        "learning/balancing/min_norm.py",
        "return minimum_norm_weights(gram), state",
        "return tf.clip_by_value("
        "minimum_norm_weights(gram), 1e-3, 1 - 1e-3), state",
        ("tests/test_balancing_gradients.py", "-k", "boundary"),
        seen_in="LibMTL: MGDA of two tasks",
    ),
    Mutation(
        "projections of the first gradient",
        "learning/balancing/projections.py",
        """inner = tf.reduce_sum(own * tf.gather(cosines, j), axis=1)
            own -= (""",
        """inner = tf.reduce_sum(
                tf.linalg.diag(norms) * tf.gather(cosines, j), axis=1)
            own -= (""",
        ("tests/test_balancing_projections.py", "-k", "running"),
        seen_in="a PyTorch version of PCGrad",
    ),
    Mutation(
        "uncertainty never below 1",
        "learning/balancing/learned_weights.py",
        "    return tf.where(present, moved, log_scale)",
        "    return tf.where(present, tf.maximum(moved, 0.0), log_scale)",
        ("tests/test_balancing_losses.py", "-k", "ncertainty"),
        seen_in="torch-rechub: rare events never get their weight",
    ),
    Mutation(
        "GradNorm blind to a task's own rate",
        "learning/balancing/norms.py",
        "log_rate = logs - first",
        "log_rate = tf.zeros_like(logs) + tf.reduce_mean(logs - first)",
        ("tests/test_balancing_norms.py",),
        seen_in="torch-rechub: the target uses the mean of the rates",
    ),
    Mutation(
        "an average over padding",
        "data/vocabulary.py",
        "PADDING = 1",
        "PADDING = 0",
        ("tests/test_schema.py", "tests/test_layers.py", "-k", "padding"),
        seen_in="PTUPCDR: item 0 is also the padding",
    ),
    Mutation(
        "repeated ids not merged",
        "learning/optimizers.py",
        "merge_rows(g) if isinstance(g, tf.IndexedSlices) else g\n",
        "g\n",
        ("tests/test_optimizers.py", "-k", "four_times or merged"),
        seen_in="Keras on TensorFlow: its optimizers",
    ),
    Mutation(
        "a constant start",
        "models/initialisation.py",
        """seeded(self.initializer, None, "expert", expert)(""",
        "keras.initializers.Constant(0.1)(",
        ("tests/test_layers.py", "-k", "no_two_experts"),
        seen_in="PaddleRec: experts and units are alike for ever",
    ),
    Mutation(
        "experts handed on as one number",
        "models/layers.py",
        "return ops.stack(outputs, axis=1)",
        "return ops.mean(ops.stack(outputs, axis=1), axis=-1, keepdims=True)",
        ("tests/test_layers.py", "-k", "loop_of_dense"),
        seen_in="mtlearn: the mixture has one unit",
    ),
    Mutation(
        "weights found by the name of a task",
        "learning/shared_parameters.py",
        "task: [v for v in every if readers[id(v)] == {task}]",
        "task: [v for v in every if f'_{task}' in v.path]",
        ("tests/test_shared_parameters.py", "-k", "shared_and_own"),
        seen_in="Merlin: click also takes what belongs to click_long",
    ),
    Mutation(
        "metrics in the order of names",
        "learning/prediction.py",
        "predictions[task][known],",
        "predictions[sorted(tasks)[tasks.index(task)]][known],",
        ("tests/test_prediction.py", "-k", "its_own_task"),
        seen_in="Merlin: tasks swap their metrics",
    ),
    Mutation(
        "surgery after one summed pass backward",
        "learning/balanced_gradients.py",
        "[batch.back(g, looked_at) for g in batch.at_cut], batch.scale",
        """[
            batch.back(
                weighted_sum(batch.at_cut, tf.ones(batch.n_tasks)), looked_at
            )
        ]
        * batch.n_tasks,
        batch.scale,""",
        ("tests/test_balanced_training.py", "-k", "by_hand"),
        seen_in="PCGrad where the tasks are summed before it projects",
    ),
    Mutation(
        "settings chosen on the wrong rows",
        "learning/search.py",
        """            train,
            validation,
            judge or {},""",
        """            train,
            train,
            judge or {},""",
        ("tests/test_replicate.py", "-k", "lowest_validation_loss"),
        seen_in="PTUPCDR: the epoch is chosen on the rows of the test",
    ),
)
