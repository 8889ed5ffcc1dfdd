def kernel(n0, n1, a0, o0):
    w_t2 = np.empty((n1,), float64)
    for i0 in range(n0):
        s_r0 = -inf
        for i1 in range(n1):
            v_a0 = a0[i0, i1]
            s_r0 = maximum(s_r0, v_a0)
        s_r1 = 0.0
        for i1 in range(n1):
            v_a0 = a0[i0, i1]
            t1 = v_a0 - s_r0
            t2 = exp_f64(t1)
            w_t2[i1] = t2
            s_r1 = add_reassoc(s_r1, t2)
        for i1 in range(n1):
            t2 = w_t2[i1]
            t4 = t2 / s_r1
            o0[i0, i1] = t4
