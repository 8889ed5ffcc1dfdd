def plan(x, p_w, p_b):
    # x: float64[3, 4]
    # p_w: float64[4, 5]
    # p_b: float64[5]
    matmul = as_c(np_matmul(x, p_w))  # test_codegen.py

    # kernel_0: add, tanh, sin, sum, max, subtract, exp, negative, ...  (test_codegen.py; staged.py)
    sin = empty((3, 5), float64)
    exp = empty((3, 5), float64)
    cos = empty((3, 5), float64)
    subtract = empty((3, 5), float64)
    sum_negative = empty((3, 1), float64)
    sum_sin, beyond = kernel_0(
        3, 5, matmul, p_b, sin, exp, cos, subtract, sum_negative.reshape((3,)),
    )
    if beyond:  # an argument was too large for the fast form of a function
        sum_sin = kernel_0_exact(
            3, 5, matmul, p_b, sin, exp, cos, subtract, sum_negative.reshape((3,)),
        )
    sum_sin = np_float64(sum_sin)
    less = as_c(np_less(sum_sin, 100))  # test_codegen.py
    if not guard_holds(guard, less):  # test_codegen.py
        return Miss(guard, less)
    argmax = as_c(np_argmax(sin))  # axis=1, keepdims=False, staged.py
    reshape = np_reshape(argmax)  # shape=(3, 1), staged.py

    # kernel_1: equal, where, add, multiply, sum  (staged.py)
    multiply = empty((3, 5), float64)
    sum_multiply = full((1, 5), 0.0, float64)
    kernel_1(
        3, 5, reshape.reshape((3,)), constant, sum_negative.reshape((3,)), exp, cos, subtract,
        multiply, sum_multiply.reshape((5,)),
    )
    reshape_2 = np_reshape_2(sum_multiply)  # shape=(5,), staged.py
    transpose = np_transpose(x)  # axes=(1, 0), staged.py
    matmul_2 = as_c(np_matmul(transpose, multiply))  # staged.py
    return (matmul_2, reshape_2)
