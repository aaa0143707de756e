import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(0, x)


def dictionary_to_vector(parameters):
    keys = []
    count = 0
    for key in ["W1", "b1", "W2", "b2", "W3", "b3"]:
        new_vector = np.reshape(parameters[key], (-1, 1))
        keys = keys + [key] * new_vector.shape[0]
        theta = new_vector if count == 0 else np.concatenate((theta, new_vector), axis=0)
        count += 1
    return theta, keys


def vector_to_dictionary(theta):
    p = {}
    p["W1"] = theta[:20].reshape((5, 4))
    p["b1"] = theta[20:25].reshape((5, 1))
    p["W2"] = theta[25:40].reshape((3, 5))
    p["b2"] = theta[40:43].reshape((3, 1))
    p["W3"] = theta[43:46].reshape((1, 3))
    p["b3"] = theta[46:47].reshape((1, 1))
    return p


def gradients_to_vector(gradients):
    parts = [np.reshape(gradients[k], (-1, 1)) for k in ["dW1", "db1", "dW2", "db2", "dW3", "db3"]]
    return np.concatenate(parts, axis=0)
