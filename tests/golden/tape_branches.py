def tape(x0, c0=None):
    # x0: float64[3]
    t0 = np.sum(x0, axis=0)  # float64[]  test_printing.py
    t1 = np.greater(t0, 0)  # bool[]  test_printing.py
    def true_fun0(x0):
        # x0: float64[3]
        t0 = x0[0,]  # float64[]  test_printing.py
        t1 = x0[1,]  # float64[]  test_printing.py
        t2 = np.greater(t0, t1)  # bool[]  test_printing.py
        def true_fun1(x0):
            # x0: float64[3]
            t0 = np.sin(x0)  # float64[3]  test_printing.py
            return (t0,)
        def false_fun0(x0):
            # x0: float64[3]
            t0 = np.sqrt(x0)  # float64[3]  test_printing.py
            return (t0,)
        t3 = true_fun1(x0) if t2 else false_fun0(x0)  # 1 result  test_printing.py
        t4 = t3[0]  # float64[3]  test_printing.py
        return (t4,)
    def false_fun1(x0):
        # x0: float64[3]
        t0 = np.matmul(c0, x0)  # float64[10]  test_printing.py
        t1 = np.matmul(t0, c0)  # float64[3]  test_printing.py
        return (t1,)
    t2 = true_fun0(x0) if t1 else false_fun1(x0)  # 1 result  test_printing.py
    t3 = t2[0]  # float64[3]  test_printing.py
    t4 = np.sum(t3, axis=0)  # float64[]  test_printing.py
    return t4
