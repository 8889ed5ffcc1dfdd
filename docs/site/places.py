"""Where each public name stands in the reference: groups, as users look for them.

A name is written as after ``tg.``. ``tests/test_reference.py`` fails for a public name that stands
nowhere or twice, and so does the build of the site.
"""

from typing import NamedTuple

__all__ = ["ALIAS_MODULES", "GROUPS", "MEMBERS", "Group"]


class Group(NamedTuple):
    """One page of the reference: names, in sections with a title."""

    file: str
    title: str
    text: str
    sections: dict[str, str]

    def names(self) -> list[str]:
        """Return all names of the group."""
        return [name for section in self.sections.values() for name in section.split()]


#: Modules whose names are all other names of what stands elsewhere, as MyGrad's documentation has them.
ALIAS_MODULES = ("indexing_routines", "math", "tensor_creation", "tensor_manip")

_TRANSFORMATIONS = Group(
    "transformations",
    "Derivatives and batches",
    "Functions to functions. The guide: [transformations](../../guide/transformations.md).",
    {
        "Gradients": "grad value_and_grad elementwise_grad",
        "Along vectors": "vjp jvp linearize linear_transpose hvp",
        "Matrices of derivatives": "jacobian jacrev jacfwd hessian",
        "Batches": "vmap",
        "Memory": "checkpoint remat",
        "What is followed": "stop_gradient adapt check_grads debug_nans",
    },
)

_TENSORS = Group(
    "tensors",
    "Tensors",
    "Arrays that record what is done with them, and hold their gradients after `backward()`.",
    {
        "Tensors": "Tensor tensor astensor asarray from_dlpack",
        "Gradients": "gradients no_autodiff",
        "Guarded memory": (
            "mem_guard_on mem_guard_off turn_memory_guarding_on turn_memory_guarding_off"
        ),
        "Files": "save load",
    },
)

_JIT = Group(
    "jit",
    "Compiled functions",
    "What is recorded once, and then runs as fused kernels.",
    {"Compiling": "jit Jit clear_cache"},
)

_TAPES = Group(
    "tapes",
    "Tapes and programs",
    "What was recorded, as a value: to be read, replayed, transformed, compiled, drawn.",
    {
        "Recording": "Tape make_tape Program",
        "Shapes alone": "eval_shape ShapeDtypeStruct",
        "Pictures": "computational_graph.build_graph",
    },
)

_CONTROL = Group(
    "control_flow",
    "Control flow",
    "Branches and loops as one operation each. The guide: [control flow](../../guide/control_flow.md).",
    {
        "Branches": "cond switch",
        "Loops": "scan fori_loop while_loop map associative_scan",
    },
)

_RULES = Group(
    "own_rules",
    "Rules of your own, solvers",
    "Derivatives that you state, and those of what an equation defines. The guide: "
    "[rules of your own](../../guide/transformations.md#rules-of-your-own), "
    "[SciPy's solvers](../../guide/implicit_derivatives.md).",
    {
        "Rules": "custom_vjp custom_jvp",
        "Equations": "custom_root custom_linear_solve fixed_point odeint",
        "MyGrad's operations": "Operation execute_op operation_base.SkipGradient",
    },
)

_SPARSE = Group(
    "sparse",
    "Sparse derivatives and matrices",
    "The guide: [sparse derivatives](../../guide/sparsity.md), "
    "[sparse matrices](../../guide/sparse.md).",
    {
        "Sparse derivatives": "sparse_jacobian sparse_hessian sparsity CompressedRows",
        "Sparse matrices": "sparse.SparseMatrix sparse.csr sparse.matmul sparse.spsolve",
    },
)

_NESTS = Group(
    "nests",
    "Nests",
    "Tuples, lists, dicts, named tuples and dataclasses of arrays, and classes of your own.",
    {
        "Leaves and structure": "tree_map tree_leaves tree_flatten tree_unflatten tree_structure",
        "To a vector and back": "ravel_pytree",
        "Classes of your own": "register_pytree_node",
    },
)

_TRAINING = Group(
    "training",
    "Training",
    "The guide: [training](../../guide/training.md), [several processes](../../guide/parallel.md).",
    {
        "The loop": "fit training.FitResult training.History",
        "Its pieces": (
            "training.Loader training.Step training.Loop training.EarlyStop training.Checkpoint "
            "training.load_checkpoint training.NonFiniteError"
        ),
        "Clipping": (
            "clip_by_norm clip_by_global_norm nnet.util.clip_grad_norm nnet.util.clip_grad_value "
            "nnet.util.grad_norm"
        ),
        "Several processes and machines": (
            "parallel.value_and_grad parallel.ValueAndGrad parallel.Workers parallel.split "
            "parallel.wait_for_workers"
        ),
    },
)

_OPTIMISERS = Group(
    "optimisers",
    "Optimisers",
    "The guide: [optimisers](../../guide/optimisers.md).",
    {
        "As functions with a state": (
            "optim.sgd optim.adam optim.amsgrad optim.adamw optim.adagrad optim.rmsprop optim.lion "
            "optim.lbfgs "
            "optim.GradientTransformation optim.apply_updates"
        ),
        "As objects": (
            "optim.SGD optim.Adam optim.AdamW optim.Adagrad optim.RMSprop optim.Lion optim.Optimizer"
        ),
        "Composition": (
            "optim.chain optim.masked optim.accumulate optim.average optim.averaged_params "
            "optim.identity"
        ),
        "Clipping and decay": (
            "optim.clip_by_norm optim.clip_by_global_norm optim.clip_by_value optim.add_decayed_weights"
        ),
        "Scaling": (
            "optim.scale optim.scale_by_learning_rate optim.scale_by_schedule optim.scale_by_adam "
            "optim.scale_by_amsgrad optim.scale_by_lion optim.scale_by_rms optim.scale_by_rss "
            "optim.trace"
        ),
        "Schedules": (
            "optim.constant_schedule optim.linear_schedule optim.exponential_decay "
            "optim.cosine_decay_schedule optim.warmup_cosine_decay_schedule "
            "optim.piecewise_constant_schedule optim.join_schedules"
        ),
        "States": (
            "optim.AccumulateState optim.AverageState optim.LbfgsState optim.MaskedState "
            "optim.ScaleByAdamState optim.ScaleByAmsgradState optim.ScaleByLionState "
            "optim.ScaleByRmsState optim.ScaleByRssState optim.ScaleByScheduleState optim.TraceState"
        ),
    },
)

_NETWORKS = Group(
    "networks",
    "Neural networks",
    "Layers, activations, losses and first values, under the names of `mygrad.nnet`.",
    {
        "Layers": "nnet.batchnorm nnet.conv_nd nnet.gru nnet.max_pool sliding_window_view",
        "Activations": (
            "nnet.elu nnet.glu nnet.hard_tanh nnet.leaky_relu nnet.logsoftmax nnet.relu nnet.selu "
            "nnet.sigmoid nnet.soft_sign nnet.softmax"
        ),
        "Losses": (
            "nnet.focal_loss nnet.margin_ranking_loss nnet.multiclass_hinge "
            "nnet.negative_log_likelihood nnet.softmax_crossentropy nnet.softmax_focal_loss"
        ),
        "First values": (
            "nnet.dirac nnet.glorot_normal nnet.glorot_uniform nnet.he_normal nnet.he_uniform "
            "nnet.normal nnet.uniform"
        ),
    },
)

_SPECIAL = Group(
    "special",
    "Special functions",
    "Named as in `scipy.special`, and computed without SciPy.",
    {
        "Gamma and beta": (
            "special.gamma special.gammaln special.digamma special.polygamma special.zeta special.beta "
            "special.betaln special.gammainc special.gammaincc special.betainc"
        ),
        "Error functions, normal distribution": (
            "special.erf special.erfc special.erfcx special.erfinv special.erfcinv special.ndtr "
            "special.ndtri special.log_ndtr"
        ),
        "Logistic, softmax": (
            "special.expit special.logit special.log_expit special.logsumexp special.softmax "
            "special.log_softmax"
        ),
        "Entropies": "special.entr special.rel_entr special.xlogy special.xlog1py",
        "Bessel functions": ("special.i0 special.i0e special.i1 special.i1e special.j0 special.j1"),
    },
)

_LINALG = Group(
    "linalg",
    "Linear algebra",
    "Also as `numpy.linalg`'s own functions. The guide: "
    "[linear algebra](../../guide/linear_algebra.md).",
    {
        "Products": (
            "matmul dot vdot inner outer kron cross tensordot einsum multi_matmul trace "
            "linalg.matrix_power"
        ),
        "Systems": (
            "linalg.solve linalg.inv linalg.lstsq linalg.pinv linalg.tensorsolve linalg.tensorinv"
        ),
        "Decompositions": "linalg.cholesky linalg.qr linalg.svd linalg.svdvals",
        "Eigenvalues": "linalg.eigh linalg.eigvalsh linalg.eig linalg.eigvals",
        "Norms and numbers": (
            "linalg.norm linalg.vector_norm linalg.matrix_norm linalg.det linalg.slogdet linalg.cond "
            "linalg.matrix_rank"
        ),
    },
)

_ELEMENTWISE = Group(
    "elementwise",
    "NumPy: elementwise",
    "The same as NumPy's own functions on tensors, with the option `constant`.",
    {
        "Arithmetic": (
            "add subtract multiply divide true_divide floor_divide mod remainder fmod divmod modf "
            "negative positive abs absolute fabs sign reciprocal square sqrt cbrt power pow float_power "
            "hypot heaviside add_sequence multiply_sequence"
        ),
        "Exponentials and logarithms": ("exp exp2 expm1 log log2 log10 log1p logaddexp logaddexp2"),
        "Angles": (
            "sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh sinc "
            "degrees radians rad2deg deg2rad unwrap"
        ),
        "Complex numbers": "real imag conj conjugate angle",
        "Choices": "where select choose piecewise clip maximum minimum fmax fmin nan_to_num",
        "Rounding": "round rint fix floor ceil trunc",
        "Comparisons": (
            "equal not_equal less less_equal greater greater_equal isclose allclose array_equal "
            "array_equiv"
        ),
        "Logic and bits": (
            "logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_xor invert "
            "left_shift right_shift"
        ),
        "Kinds of numbers": (
            "isfinite isinf isnan isnat isneginf isposinf signbit copysign nextafter spacing ldexp gcd "
            "lcm"
        ),
    },
)

_REDUCTIONS = Group(
    "reductions",
    "NumPy: sums, extremes, statistics",
    "Over all axes, or some of them.",
    {
        "Sums and products": (
            "sum prod cumsum cumprod cumulative_sum cumulative_prod nansum nanprod nancumsum nancumprod "
            "trapezoid diff ediff1d count_nonzero"
        ),
        "Extremes": ("max amax min amin ptp nanmax nanmin argmax argmin nanargmax nanargmin"),
        "Truth": "all any",
        "Means and spread": (
            "mean average median var std nanmean nanmedian nanvar nanstd percentile quantile "
            "nanpercentile nanquantile cov corrcoef"
        ),
        "Counts": "bincount histogram histogram2d histogramdd histogram_bin_edges digitize",
        "Sequences": "convolve correlate interp",
        "Polynomials": "polyadd polysub polymul polyder polyint polyval vander",
    },
)

_SHAPES = Group(
    "shapes",
    "NumPy: making, shaping, joining, choosing",
    "Functions of places rather than of numbers.",
    {
        "Making": (
            "zeros zeros_like ones ones_like full full_like empty empty_like eye identity arange "
            "linspace logspace geomspace meshgrid diag diagflat tril triu"
        ),
        "Shapes": (
            "reshape ravel squeeze expand_dims atleast_1d atleast_2d atleast_3d broadcast_to resize"
        ),
        "Order of axes and elements": (
            "transpose matrix_transpose moveaxis swapaxes flip fliplr flipud roll rot90 in_order"
        ),
        "Joining": (
            "concatenate stack hstack vstack dstack column_stack block append insert pad repeat tile"
        ),
        "Splitting": "split array_split hsplit vsplit dsplit unstack delete trim_zeros",
        "Choosing": (
            "take take_along_axis compress extract diagonal nonzero flatnonzero argwhere "
            "ravel_multi_index unravel_index"
        ),
        "Sorting and searching": (
            "sort argsort partition argpartition lexsort searchsorted unique unique_all unique_counts "
            "unique_inverse unique_values isin union1d intersect1d setdiff1d setxor1d"
        ),
        "Writing": "copyto fill_diagonal place put put_along_axis putmask",
        "Functions along axes": "apply_along_axis apply_over_axes",
    },
)

_REST = Group(
    "constants",
    "Constants, dtypes, random numbers, annotations",
    "What has no derivative.",
    {
        "Constants": "e pi inf nan newaxis",
        "Dtypes": (
            "bool_ float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64"
        ),
        "Random tensors": (
            "random.rand random.randint random.randn random.random random.random_sample random.ranf "
            "random.sample random.seed"
        ),
        "Annotations": (
            "typing.ArrayLike typing.DTypeLike typing.DTypeLikeReals typing.Index typing.Mask "
            "typing.Real typing.Scalar typing.Shape"
        ),
    },
)

_ERRORS = Group(
    "errors",
    "Errors",
    "Each has a page with an example and what to do: [errors](../../errors.md).",
    {
        "Errors": (
            "TapegradError TracedArrayError LeakedTensorError NonScalarOutputError InvalidBackprop "
            "InvalidGradient PatternError"
        )
    },
)

GROUPS = (
    _TRANSFORMATIONS,
    _JIT,
    _TENSORS,
    _TAPES,
    _CONTROL,
    _RULES,
    _SPARSE,
    _NESTS,
    _TRAINING,
    _OPTIMISERS,
    _NETWORKS,
    _LINALG,
    _SPECIAL,
    _ELEMENTWISE,
    _REDUCTIONS,
    _SHAPES,
    _REST,
    _ERRORS,
)

#: What of a class is for users, where its methods serve the engine, too. Of other classes: all that
#: has a docstring.
MEMBERS = {
    "Tensor": (
        "data grad constant creator base dtype shape size ndim strides itemsize nbytes flags flat "
        "device T mT real imag backward null_grad null_gradients clear_graph item tolist tobytes tofile "
        "copy astype view fill put flatten ravel reshape squeeze transpose swapaxes moveaxis diagonal "
        "repeat take compress choose clip round sum prod mean var std max min all any argmax argmin "
        "cumsum cumprod dot trace conj conjugate sort argsort partition argpartition searchsorted "
        "nonzero to_device"
    ),
    "Jit": "explain profile lower warm_up stats",
    "Program": (
        "inputs entries outputs source verify reverse forward pullback pushforward batch compile select"
    ),
    "Tape": "gradient jacobian replay program compile source",
    "custom_jvp": "defjvp defjvps",
    "custom_vjp": "defvjp",
    "CompressedRows": "data indices indptr shape",
    "Operation": "backward_var grad_post_process_fn backward",
    "sparse.SparseMatrix": "T dot",
    "parallel.Workers": "close",
    "training.Loader": "",
    "training.History": (
        "loss gradient_norm learning_rate step_time validation validation_steps epochs epoch_ends "
        "mean_of_last_epoch arrays plot"
    ),
    "training.Loop": "epoch params state learning_rate stop save result",
    "training.Step": "init update explain stats",
}
