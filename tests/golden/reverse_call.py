def tape(x0, x1):
    # x0: float64[3]
    # x1: float64[3]
    t0 = np.tanh(x0)  # float64[3]  test_printing.py
    t1 = np.sum(x0, axis=0)  # float64[]  test_printing.py
    t2 = np.multiply(t0, t1)  # float64[3]  test_printing.py
    t3 = np.multiply(x1, t1)  # float64[3]  test_printing.py
    t4 = np.multiply(x1, t0)  # float64[3]  test_printing.py
    t5 = np.sum(t4, axis=0, keepdims=True)  # float64[1]  test_printing.py
    t6 = np.reshape(t5, ())  # float64[]  test_printing.py
    t7 = np.reshape(t6, (1,))  # float64[1]  test_printing.py
    t8 = np.broadcast_to(t7, (3,))  # float64[3]  test_printing.py
    t9 = np.multiply(t0, t0)  # float64[3]  test_printing.py
    t10 = np.subtract(1, t9)  # float64[3]  test_printing.py
    t11 = np.multiply(t3, t10)  # float64[3]  test_printing.py
    t12 = np.add(t8, t11)  # float64[3]  test_printing.py
    return t2, t12
