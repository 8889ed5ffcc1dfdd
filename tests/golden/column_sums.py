def kernel(n0, n1, a0, r0):
    for i0 in range(n0):
        for i1 in range(n1):
            v_a0 = a0[i0, i1]
            t0 = exp_f64(v_a0)
            t1 = t0 * v_a0
            r0[i1] = add_reassoc(r0[i1], t1)
