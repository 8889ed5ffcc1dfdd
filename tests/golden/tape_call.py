def tape(x0):
    # x0: float64[3]
    def program0(x0):
        # x0: float64[3]
        t0 = np.tanh(x0)  # float64[3]  test_printing.py
        t1 = np.sum(x0, axis=0)  # float64[]  test_printing.py
        return (t0, t1)
    t0 = program0(x0)  # 2 results  test_printing.py
    t1 = t0[0]  # float64[3]  test_printing.py
    t2 = t0[1]  # float64[]  test_printing.py
    t3 = np.multiply(t1, t2)  # float64[3]  test_printing.py
    return t3
