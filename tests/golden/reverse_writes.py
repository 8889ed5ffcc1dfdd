def tape(x0, x1):
    # x0: float64[3]
    # x1: float64[4]
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
    t13 = np.array(x1, copy=True)
    t13[::2,][...] = 0.0  # float64[4]  test_printing.py
    t14 = x1[::2,]  # float64[2]  test_printing.py
    t15 = np.where(np.array([True, False], 'bool'), t14, 0.0)  # float64[2]  test_printing.py
    t16 = np.where(np.array([True, False], 'bool'), 0.0, t14)  # float64[2]  test_printing.py
    t17 = np.negative(t15)  # float64[2]  test_printing.py
    t18 = np.where(np.array([True, False], 'bool'), t17, 0.0)  # float64[2]  test_printing.py
    t19 = np.zeros((4,), t16.dtype)
    np.add.at(t19, np.index_exp[::2,], t16)  # float64[4]  test_printing.py
    t20 = np.add(t13, t19)  # float64[4]  test_printing.py
    t21 = np.zeros((3,), t18.dtype)
    np.add.at(t21, np.index_exp[:2,], t18)  # float64[3]  test_printing.py
    t22 = np.array(t20, copy=True)
    t22[np.array([0, 2], 'int64'),] = 0.0  # float64[4]  test_printing.py
    t23 = t20[np.array([0, 2], 'int64'),]  # float64[2]  test_printing.py
    t24 = primitives['winners'].forward(t20, np.array([0, 2], 'int64'), path=(), spec=(array,))  # bool[2]  test_printing.py
    t25 = np.where(t24, t23, 0.0)  # float64[2]  test_printing.py
    t26 = np.array(t25, copy=True)
    t26[...] = 0.0  # float64[2]  test_printing.py
    t27 = np.add(t26, t25)  # float64[2]  test_printing.py
    t28 = np.zeros((3,), t25.dtype)
    np.add.at(t28, np.index_exp[:2,], t25)  # float64[3]  test_printing.py
    t29 = np.add(t21, t28)  # float64[3]  test_printing.py
    t30 = np.zeros((4,), t27.dtype)
    np.add.at(t30, np.index_exp[np.array([0, 2], 'int64'),], t27)  # float64[4]  test_printing.py
    t31 = np.add(t22, t30)  # float64[4]  test_printing.py
    t32 = t31[1:,]  # float64[3]  test_printing.py
    t33 = np.multiply(t32, 2)  # float64[3]  test_printing.py
    t34 = np.add(t29, t33)  # float64[3]  test_printing.py
    return t12, t34
