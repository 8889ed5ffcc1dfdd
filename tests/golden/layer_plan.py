def plan(x, params_w, params_b, rate):
    # x: float64[3, 4]
    # params_w: float64[4, 5]
    # params_b: float64[5]
    # rate: float64[]
    matmul = as_c(np_matmul(x, params_w))  # test_codegen.py

    # kernel_0: add, tanh, sin, multiply, sum, max, subtract, exp  (test_codegen.py)
    tanh = empty((3, 5), float64)
    sum_exp = full((5,), 0.0, float64)
    sum_multiply = full((5,), 0.0, float64)
    sum_multiply_2, beyond = kernel_0(3, 5, matmul, params_b, rate, tanh, sum_exp, sum_multiply)
    if beyond:  # an argument was too large for the fast form of a function
        sum_exp.fill(0.0)
        sum_multiply.fill(0.0)
        sum_multiply_2 = kernel_0_exact(3, 5, matmul, params_b, rate, tanh, sum_exp, sum_multiply)
    sum_multiply_2 = np_float64(sum_multiply_2)
    less = as_c(np_less(sum_multiply_2, 100))  # test_codegen.py
    if not guard_holds(guard, less):  # test_codegen.py
        return Miss(guard, less)
    # ord=2.0, axis=(0,), keepdims=False, test_codegen.py
    norm_of_total = as_c(run_norm_of_total(sum_multiply, tanh))
    return (sum_exp, norm_of_total)
