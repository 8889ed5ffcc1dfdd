def kernel(n0, a0, o0):
    beyond = False
    r0 = 0.0
    b0 = 16384
    for c0 in range((n0 + b0 - 1) // b0):
        u0 = c0 * b0
        s_r0 = 0.0
        for k0 in range(min(b0, n0 - u0)):
            i0 = u0 + k0
            v_a0 = a0[i0]
            t0 = tanh_f64(v_a0)
            t1 = -v_a0
            t2 = t1 * v_a0
            t3 = exp_f64(t2)
            t4 = t0 * t3
            t5 = sin_f64(v_a0)
            t6 = t4 + t5
            t7 = cos_f64(v_a0)
            t8 = t4 * v_a0
            t9 = t4 * t1
            t10 = t7 + t9
            t11 = -t8
            t12 = t10 + t11
            t13 = t0 * t0
            t14 = 1.0 - t13
            t15 = t3 * t14
            t16 = t12 + t15
            o0[i0] = t16
            beyond |= abs(v_a0) > 68719476736.0
            s_r0 = add_reassoc(s_r0, t6)
        r0 = add_reassoc(r0, s_r0)
    return r0, beyond
