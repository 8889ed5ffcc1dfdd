def tape(x0, x1, c0=None, c1=None, c2=None):
    # x0: float64[3]
    # x1: float64[]
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
    t5 = np.reshape(x1, (1,))  # float64[1]  test_printing.py
    t6 = np.broadcast_to(t5, (3,))  # float64[3]  test_printing.py
    def true_fun2(x0, x1):
        # x0: float64[3]
        # x1: float64[3]
        t0 = x0[0,]  # float64[]  test_printing.py
        t1 = x0[1,]  # float64[]  test_printing.py
        t2 = np.greater(t0, t1)  # bool[]  test_printing.py
        def true_fun3(x0, x1):
            # x0: float64[3]
            # x1: float64[3]
            t0 = np.cos(x0)  # float64[3]  test_printing.py
            t1 = np.multiply(x1, t0)  # float64[3]  test_printing.py
            return (t1,)
        def false_fun2(x0, x1):
            # x0: float64[3]
            # x1: float64[3]
            t0 = np.sqrt(x0)  # float64[3]  test_printing.py
            t1 = np.multiply(0.5, x1)  # float64[3]  test_printing.py
            t2 = np.divide(t1, t0)  # float64[3]  test_printing.py
            return (t2,)
        t3 = true_fun3(x0, x1) if t2 else false_fun2(x0, x1)  # 1 result  test_printing.py
        t4 = t3[0]  # float64[3]  test_printing.py
        return (t4,)
    def false_fun3(x0, x1):
        # x0: float64[3]
        # x1: float64[3]
        t0 = np.reshape(x1, (3, 1))  # float64[3, 1]  test_printing.py
        t1 = np.matmul(c1, t0)  # float64[10, 1]  test_printing.py
        t2 = t1[:, 0]  # float64[10]  test_printing.py
        t3 = np.reshape(t2, (10,))  # float64[10]  test_printing.py
        t4 = np.matmul(t3, c2)  # float64[3]  test_printing.py
        return (t4,)
    t7 = true_fun2(x0, t6) if t1 else false_fun3(x0, t6)  # 1 result  test_printing.py
    t8 = t7[0]  # float64[3]  test_printing.py
    return t4, t8
