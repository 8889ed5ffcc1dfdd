def tape(x0):
    # x0: float64[3]
    t0 = np.multiply(x0, 2)  # float64[3]  test_printing.py
    t1 = np.array(np.array([0.0, 0.0, 0.0, 0.0], 'float64'), copy=True)
    t1[1:,] = t0  # float64[4]  test_printing.py
    t2 = t1[np.array([0, 2], 'int64'),]  # float64[2]  test_printing.py
    t3 = x0[:2,]  # float64[2]  test_printing.py
    t4 = np.add(t2, t3)  # float64[2]  test_printing.py
    t5 = np.array(t2, copy=True)
    t5[...] = t4  # float64[2]  test_printing.py
    t6 = np.array(t1, copy=True)
    t6[np.array([0, 2], 'int64'),] = t5  # float64[4]  test_printing.py
    t7 = x0[:2,]  # float64[2]  test_printing.py
    t8 = t6[::2,]  # float64[2]  test_printing.py
    t9 = np.where(np.array([True, False], 'bool'), t7, 0.5)  # float64[2]  test_printing.py
    t10 = np.negative(t9)  # float64[2]  test_printing.py
    t11 = np.where(np.array([True, False], 'bool'), t10, t8)  # float64[2]  test_printing.py
    t12 = np.array(t6, copy=True)
    t12[::2,][...] = t11  # float64[4]  test_printing.py
    return t12
