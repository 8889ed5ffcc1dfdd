def kernel(n0, a0, s1, o0):
    for i0 in range(n0):
        v_a0 = a0[i0]
        t0 = v_a0 > float32(1.0)
        t1 = v_a0 * s1
        t2 = -v_a0
        t3 = t1 if t0 else t2
        o0[i0] = t3
