def tape(x0):
    # x0: float64[3]
    t0 = np.max(x0, axis=0)  # float64[]  test_printing.py
    t1 = np.subtract(x0, t0)  # float64[3]  test_printing.py
    t2 = np.exp(t1)  # float64[3]  test_printing.py
    t3 = np.sum(t2, axis=0)  # float64[]  test_printing.py
    t4 = np.divide(t2, t3)  # float64[3]  test_printing.py
    return t4
