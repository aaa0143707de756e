import numpy as np


def hinge(v):
    return np.where(v >= 1, 0, 1 - v)


def hinge_loss(x, y, th, th0):
    return hinge(y * (np.dot(th.T, x) + th0))


def svm_obj(x, y, th, th0, lam):
    return np.mean(hinge_loss(x, y, th, th0)) + lam * np.linalg.norm(th) ** 2


def d_hinge(v):
    return np.where(v >= 1, 0, -1)


def d_hinge_loss_th(x, y, th, th0):
    return d_hinge(y * (np.dot(th.T, x) + th0)) * y * x


def d_hinge_loss_th0(x, y, th, th0):
    return d_hinge(y * (np.dot(th.T, x) + th0)) * y


def d_svm_obj_th(x, y, th, th0, lam):
    return np.mean(d_hinge_loss_th(x, y, th, th0), axis=1, keepdims=True) + lam * 2 * th


def d_svm_obj_th0(x, y, th, th0, lam):
    return np.mean(d_hinge_loss_th0(x, y, th, th0), axis=1, keepdims=True)


def svm_obj_grad(X, y, th, th0, lam):
    grad_th = d_svm_obj_th(X, y, th, th0, lam)
    grad_th0 = d_svm_obj_th0(X, y, th, th0, lam)
    return np.vstack([grad_th, grad_th0])
