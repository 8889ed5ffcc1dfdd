def tape(x0, x1):
    # x0: float64[3]
    # x1: float64[3]
    t0 = np.max(x0, axis=0)  # float64[]  test_printing.py
    t1 = np.subtract(x0, t0)  # float64[3]  test_printing.py
    t2 = np.exp(t1)  # float64[3]  test_printing.py
    t3 = np.sum(t2, axis=0)  # float64[]  test_printing.py
    t4 = np.divide(t2, t3)  # float64[3]  test_printing.py
    t5 = np.divide(x1, t3)  # float64[3]  test_printing.py
    t6 = np.negative(x1)  # float64[3]  test_printing.py
    t7 = np.divide(t4, t3)  # float64[3]  test_printing.py
    t8 = np.multiply(t6, t7)  # float64[3]  test_printing.py
    t9 = np.sum(t8, axis=0, keepdims=True)  # float64[1]  test_printing.py
    t10 = np.reshape(t9, ())  # float64[]  test_printing.py
    t11 = np.reshape(t10, (1,))  # float64[1]  test_printing.py
    t12 = np.broadcast_to(t11, (3,))  # float64[3]  test_printing.py
    t13 = np.add(t5, t12)  # float64[3]  test_printing.py
    t14 = np.multiply(t13, t2)  # float64[3]  test_printing.py
    t15 = np.negative(t14)  # float64[3]  test_printing.py
    t16 = np.sum(t15, axis=0, keepdims=True)  # float64[1]  test_printing.py
    t17 = np.reshape(t16, ())  # float64[]  test_printing.py
    t18 = np.argmax(x0, axis=0)  # int64[]  test_printing.py
    t19 = np.reshape(t18, (1,))  # int64[1]  test_printing.py
    t20 = np.equal(t19, np.array([0, 1, 2], 'int64'))  # bool[3]  test_printing.py
    t21 = np.reshape(t17, (1,))  # float64[1]  test_printing.py
    t22 = np.where(t20, t21, 0.0)  # float64[3]  test_printing.py
    t23 = np.add(t14, t22)  # float64[3]  test_printing.py
    return t4, t23
