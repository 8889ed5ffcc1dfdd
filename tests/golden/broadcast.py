def kernel(n0, n1, a0, a1, s2, o0):
    for i0 in range(n0):
        v_a1 = a1[i0]
        for i1 in range(n1):
            v_a0 = a0[i0, i1]
            t0 = v_a0 * v_a0
            t1 = t0 + v_a1
            t2 = sqrt_f64(t1)
            t3 = t2 * s2
            o0[i0, i1] = t3
