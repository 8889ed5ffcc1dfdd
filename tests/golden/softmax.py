def kernel(n0, n1, a0, a1, o0, r0):
    for i0 in range(n0):
        v_a1 = a1[i0]
        s_r0 = float64(0)
        for i1 in range(n1):
            v_a0 = a0[i0, i1]
            t0 = v_a0 - v_a1
            t1 = exp_f64(t0)
            o0[i0, i1] = t1
            s_r0 = add_reassoc(s_r0, t1)
        r0[i0] = s_r0
