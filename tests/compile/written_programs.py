"""Loops over objects, lists that are read, and slices: those that are one operation, and others."""

import dataclasses

import numpy as np

N = 90


class Oscillator:
    __slots__ = ("_energy", "count", "speed", "time", "trace", "x")

    def __init__(self, x):
        self.x, self.speed, self.trace = x * 1.0, x * 0, np.zeros(N)
        self.count, self.time, self.energy = 0, 0.0, x[0]

    @property
    def energy(self):
        return self._energy

    @energy.setter
    def energy(self, value):
        self._energy = value * 0.5

    def step(self, h):
        self.speed -= h * np.sin(self.x)
        self.x = self.x + h * self.speed
        self.trace[self.count] = self.speed.sum()
        self.count += 1
        self.time += h
        self.energy = self.energy + self.x[0]
        return self


def objects_with_slots(x):
    one = Oscillator(x)
    several = [one, Oscillator(x[::-1])]
    for i in range(N):
        several[0].step(0.01)
        several[1].step(0.02).x[0] = one.trace[i]
    return one.x.sum() + several[1].trace.sum() + one.energy * one.count + one.time


def an_object_and_its_best(x):
    class State:
        pass

    state = State()
    state.x, state.best, state.count = x, 1e9, 0
    for _ in range(N):
        state.x = state.x - 0.05 * np.cos(state.x)
        value = state.x.sum()
        if value < state.best - 1e-3:
            state.best, state.count = value, state.count + 1
    return state.best + state.count


def one_array_in_two_attributes(x):
    class State:
        pass

    state = State()
    state.a = state.b = np.ones(3)
    for _ in range(N):
        state.a += x[0]
        state.b *= 0.9
    return (state.a * state.b).sum()


@dataclasses.dataclass
class Place:
    x: object


def an_instance_that_is_carried(x):
    state = Place(x)
    pair = state, 0
    for _ in range(N):
        state.x = state.x * 0.9 + 0.01
        pair = state, pair[1] + 1
    return pair[0].x.sum() * pair[1] + state.x[0]


def asked_which_array_it_is(x):
    best, s = x, 0.0
    for i in range(N):
        if best is x:
            s = s + 1.0
        s = s + best.sum()
        if i > 50:
            best = best * 0.99
    return s


def euler(x):
    places, times = [x], [0.0]
    for i in range(N):
        places.append(places[i] + 0.01 * np.sin(places[i]) * times[i])
        times.append(times[-1] + 0.01)
    return places[-1].sum() + np.array(places).sum() + len(times) + places[40][0]


def a_recurrence(x):
    values = [x[0], x[1], x[2]]
    for i in range(3, N):
        values.append(0.5 * values[i - 1] - 0.3 * values[-3] + 0.01 * len(values) + 0.1 * values[0])
    return values[-1] + values[7]


def until_a_list_is_long(x):
    values = [x[0], x[1]]
    while len(values) < N:
        values.append((values[-1] + values[-2]) * 0.6)
    return values[-1]


def until_a_value_is_large(x):
    values = [x[0]]
    for _ in range(N):
        values.append(values[-1] * 1.05 + 0.1)
        if values[-1] > 9:
            break
    return np.array(values).sum() * len(values)


def a_list_whose_end_is_written_into(x):
    values = [x * 1.0]
    for _ in range(N):
        values.append(values[-1] * 0.9)
        values[-1] += 0.1
    return values[-1].sum() + values[5][0]


def a_name_that_holds_an_element(x):
    values = [x * 1.0]
    for _ in range(N):
        last = values[-1]
        values.append(last * 0.9)
    last += 1.0
    return (np.array(values) * np.arange(N + 1)[:, None]).sum()


def one_array_appended_often(x):
    values, one, s = [x * 1.0], x * 2.0, 0.0
    for _ in range(N):
        values.append(one)
        s = s + values[-1].sum() * values[-2][0]
    one[0] = 5.0
    return s + np.array(values).sum()


def an_element_appended_again(x):
    values, s = [x * 1.0, x * 2.0], 0.0
    for _ in range(N):
        values.append(values[-1])
        s = s + values[-2].sum()
    values[-1][0] = 5.0
    return s + np.array(values).sum()


def slices_in_a_list_that_is_read(x):
    y, s = x * 1.0, 0.0
    parts = [x[:3] * 1.0]
    for i in range(N - 3):
        parts.append(y[i : i + 3])
        s = s + parts[-2].sum()
    y[40] = 7.0
    return s + np.array(parts).sum()


def a_list_whose_slice_is_read(x):
    values = [x[0]] * 3
    for _ in range(N):
        values.append(0.3 * sum(values[-3:]))
    return values[-1]


def rows_that_are_written_after_they_are_read(x):
    m, s = np.zeros((N, 2)), 0.0
    for i in range(N):
        row = m[i]
        m[i] = x[:2]
        s = s + row.sum()
    return s


def moving_average(x):
    s = 0.0
    for i in range(3, N):
        s = s * 0.9 + np.dot(x[i - 3 : i], [0.1, 0.2, 0.3]) * x[i]
    return s


def mini_batches(x):
    rows, w = np.cos(np.outer(np.arange(4 * N), np.arange(1, 4))), x[:3] * 1.0
    for k in range(0, 4 * N, 4):
        batch = rows[k : k + 4]
        w = w - 0.01 * (batch.T @ (batch @ w - x[k // 4]))
    return w.sum()


def clipped_at_the_end(x):
    s = 0.0
    for i in range(N):
        s = s * 0.9 + x[i : i + 3].sum()
    return s


def slices_stored(x):
    u, m = x * 1.0, np.zeros((N, 5))
    for i in range(1, N - 4):
        u[i : i + 2] = u[i - 1 : i + 1] * 0.5 + 0.1
        m[i, 1:] = x[i : i + 4]
        m[i - 1 : i + 1, 0] = u[i]
    return u.sum() + (m * m).sum()


def a_slice_that_is_stale(x):
    u, s = x * 1.0, 0.0
    for i in range(N - 2):
        part = u[i : i + 2]
        u[i] = 5.0
        s = s + part.sum()
    return s


def a_slice_that_is_written_into(x):
    u = np.zeros(N)
    for i in range(N - 2):
        u[i : i + 3] += x[i]
    return (u * u).sum()


def slices_in_a_list(x):
    parts = []
    for i in range(N - 3):
        parts.append(x[i : i + 4])
    return (np.array(parts) ** 2).sum()


def a_slice_that_is_kept(x):
    u = x * 1.0
    for i in range(N - 1):
        part = u[i : i + 2]
    part *= 2
    return u.sum()


ONE_OPERATION = [
    objects_with_slots, an_object_and_its_best, euler, a_recurrence, moving_average, mini_batches,
    clipped_at_the_end, slices_stored, until_a_list_is_long, until_a_value_is_large,
    rows_that_are_written_after_they_are_read,
]  # fmt: skip
AS_WRITTEN = [
    a_name_that_holds_an_element, one_array_appended_often, an_element_appended_again,
    slices_in_a_list_that_is_read,
    one_array_in_two_attributes, an_instance_that_is_carried, a_slice_that_is_stale,
    a_slice_that_is_written_into, slices_in_a_list, a_slice_that_is_kept, asked_which_array_it_is,
    a_list_whose_end_is_written_into, a_list_whose_slice_is_read,
]  # fmt: skip
