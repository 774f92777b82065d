"""Threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fastgrad import grad
from tests.traps.trap import numpy, session


def _power_in_a_work_array(n):
    def function(x):
        y = np.ones(n + 1)
        for i in range(n):
            y[i + 1] = y[i] * x
        return y[n]

    return function


@session(1.0, 4.0, 12.0, 32.0, 80.0, 192.0, 448.0, 1024.0)
def derivatives_in_several_threads():
    """Eight threads, each with a function of its own: `d/dx x^n` at 2."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda n: grad(_power_in_a_work_array(n))(2.0), range(1, 9)))


@session(*[12.0] * 8)
def one_derivative_in_several_threads():
    """Eight threads call one derivative at once, the first call of all."""
    derivative = grad(_power_in_a_work_array(3))
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(derivative, [2.0] * 8))


@session("plain", 80.0, 80.0, 80.0)
def plain_numpy_in_other_threads():
    """Two threads use NumPy at full tilt while a third one takes derivatives: their arrays stay plain and right."""
    faults = []
    done = threading.Event()

    def compute():
        while not done.is_set():
            y = numpy.zeros(4)
            y[1:] = numpy.arange(3.0)
            numpy.add(y, 1.0, out=y)
            if type(y) is not numpy.ndarray or y.sum() != 7.0:
                faults.append(type(y))

    others = [threading.Thread(target=compute) for _ in range(2)]
    for other in others:
        other.start()
    try:
        answers = [grad(_power_in_a_work_array(5))(2.0) for _ in range(3)]
    finally:
        done.set()
        for other in others:
            other.join()
    return ["plain" if not faults else str(faults[0]), *answers]


@session(27.0, refusal="FastgradError")
def thread_inside_a_function():
    """The function starts a thread that works on its argument: right, or refused."""

    def function(x):
        results, errors = [], []

        def work():
            try:
                results.append(x**2)
            except Exception as error:
                errors.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        if errors:
            raise errors[0]
        return results[0] * x

    return [grad(function)(3.0)]


@session(27.0, refusal="FastgradError")
def pool_inside_a_function():
    """The function maps over its values in a pool: right, or refused."""

    def function(x):
        with ThreadPoolExecutor(2) as pool:
            squares = list(pool.map(lambda value: value * value, [x, x]))
        return squares[0] * x

    return [grad(function)(3.0)]


@session(4.0, "RuntimeError", 12.0)
def exception_in_another_thread():
    """A recording fails in one thread while another one succeeds."""
    answers = []

    def broken(x):
        y = np.zeros(1)
        y[0] = x
        raise RuntimeError

    def fail():
        try:
            grad(broken)(1.0)
        except Exception as error:
            answers.append(type(error).__name__)

    answers.append(grad(lambda x: x * x)(2.0))
    worker = threading.Thread(target=fail)
    worker.start()
    worker.join()
    return [*answers, grad(_power_in_a_work_array(3))(2.0)]
