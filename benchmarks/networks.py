"""Networks with right gradients written by hand, annotated for mechanical mutation.

A forward line that a mistake can be about carries a label, ``# @name``. A line of the backward pass
says which labels its parts are the derivatives of:

* ``of=``    the operation that the whole line differentiates;
* ``out=``   the same, where the line computes a parameter's gradient;
* ``avg=``   the average whose ``/ n`` the line contains;
* ``mask=``  the operation whose mask the line applies;
* ``act=``   the activation whose derivative is the last factor of the line;
* ``fac=``   the product whose other factor is the last factor of the line;
* ``sum=``   the broadcast addition whose sum over an axis the line takes;
* ``term=``  the selection, product or sum whose term the line (or its last summand) adds;
* ``path=``  the intermediate value whose path the line (or its last summand) adds;
* ``data=``  as ``out=``, where a later line adds the regulariser's gradient;
* ``recur=`` the operation through which the line hands the gradient to the step before;
* ``last=``  of a loop over the steps, the line whose last run a shorter loop leaves out;
* ``extra=`` a derivative that is already contained in the line;
* ``over=``  what is lost when ``=`` replaces ``+=``, as ``cause@label``;
* ``indices=`` the look-up whose gradient is added up by index;
* ``reg=``   the regulariser whose derivative is the last summand;
* ``stale=A>B`` replacing ``A`` by ``B`` is the mistake that ``skips=cause@label`` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Result = tuple[float, dict[str, Array]]


def linear_softmax(W: Array, b: Array, X: Array, y: Any, reg: float) -> Result:
    """Linear classifier with a softmax loss."""
    n = len(X)
    S = X @ W + b  # @scores
    E = np.exp(S - np.max(S, axis=1, keepdims=True))
    P = E / np.sum(E, axis=1, keepdims=True)  # @prob
    picked = P[np.arange(n), y]
    data = -np.sum(np.log(picked)) / n  # @mean
    loss = data + 0.5 * reg * np.sum(W * W)  # @reg
    dS = P.copy()
    dS[np.arange(n), y] -= 1  # term=prob
    dS = dS / n  # avg=mean
    dW = X.T @ dS + reg * W  # out=scores reg=reg
    db = np.sum(dS, axis=0)  # out=scores sum=scores
    return loss, {"W": dW, "b": db}


def relu_softmax(
    W1: Array, b1: Array, W2: Array, b2: Array, X: Array, y: Any, reg: float
) -> Result:
    """Two-layer ReLU network with a softmax loss in terms of log-sum-exp."""
    n = X.shape[0]
    Z1 = X @ W1 + b1  # @z1
    A1 = np.maximum(0, Z1)  # @relu
    S = A1 @ W2 + b2  # @z2
    shift = S - S.max(axis=1, keepdims=True)
    E = np.exp(shift)
    total = E.sum(axis=1)
    losses = np.log(total) - shift[np.arange(n), y]  # @nll
    loss = np.mean(losses)  # @mean
    loss = loss + reg * np.sum(W1**2)  # @reg1
    loss = loss + reg * np.sum(W2**2)  # @reg2
    dS = E / total[:, None]
    dS[np.arange(n), y] -= 1  # term=nll
    dS /= n  # avg=mean
    dW2 = A1.T @ dS  # data=z2 stale=A1>Z1 skips=stale_value@z2
    db2 = dS.sum(axis=0)  # out=z2 sum=z2
    dW2 += 2 * reg * W2  # reg=reg2
    dA1 = dS @ W2.T  # of=z2
    dZ1 = dA1 * (Z1 > 0)  # mask=relu
    dW1 = X.T @ dZ1  # data=z1 stale=dZ1>dA1 skips=activation_mask_missing@relu
    dW1 += 2 * reg * W1  # reg=reg1
    db1 = dZ1.sum(axis=0)  # out=z1 sum=z1 stale=dZ1>dA1 skips=activation_mask_missing@relu
    return loss, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def square_tanh(
    U: Array, a: Array, V: Array, c: Array, W: Array, d: Array, X: Array, T: Array
) -> Result:
    """Three square tanh layers and a squared error: every transposition keeps the shapes."""
    n = len(T)
    G1 = X @ U + a  # @g1
    H1 = np.tanh(G1)  # @tanh1
    G2 = H1 @ V + c  # @g2
    H2 = np.tanh(G2)  # @tanh2
    Y = H2 @ W + d  # @y
    R = Y - T  # @residual
    loss = 0.5 * np.sum(R * R) / n  # @loss
    dY = R / n  # of=residual avg=loss
    dW = H2.T @ dY  # out=y stale=H2>G2 skips=stale_value@y
    dd = dY.sum(axis=0)  # out=y sum=y
    dH2 = dY @ W.T  # of=y
    dG2 = dH2 * (1 - H2**2)  # act=tanh2
    dV = H1.T @ dG2  # out=g2 stale=dG2>dH2 skips=activation_derivative_missing@tanh2
    dc = dG2.sum(axis=0)  # out=g2 sum=g2
    dH1 = dG2 @ V.T  # of=g2 stale=dG2>dH2 skips=activation_derivative_missing@tanh2
    dG1 = dH1 * (1 - H1**2)  # act=tanh1
    dU = X.T @ dG1  # out=g1
    da = dG1.sum(axis=0)  # out=g1 sum=g1 stale=dG1>dH1 skips=activation_derivative_missing@tanh1
    return loss, {"U": dU, "a": da, "V": dV, "c": dc, "W": dW, "d": dd}


def sigmoid_logistic(
    W1: Array, b1: Array, w2: Array, c: Array, X: Array, t: Array, reg: float
) -> Result:
    """Sigmoid hidden layer with a logistic output and binary cross-entropy."""
    n = len(t)
    Z = X @ W1.T + b1  # @z
    A = 1 / (1 + np.exp(-Z))  # @hidden
    z = A @ w2 + c  # @out
    q = 1 / (1 + np.exp(-z))  # @output
    loss = -np.mean(t * np.log(q) + (1 - t) * np.log(1 - q))  # @loss
    loss += 0.5 * reg * (W1**2).sum()  # @reg
    dz = (q - t) / n  # avg=loss act=output extra=q*(1-q)
    dw2 = A.T @ dz  # out=out
    dc = dz.sum()  # out=out
    dA = np.outer(dz, w2)  # of=out
    dZ = dA * (A * (1 - A))  # act=hidden
    dW1 = dZ.T @ X + reg * W1  # out=z reg=reg
    db1 = dZ.sum(axis=0)  # out=z sum=z stale=dZ>dA skips=activation_derivative_missing@hidden
    return loss, {"W1": dW1, "b1": db1, "w2": dw2, "c": dc}


def batch_norm(
    W: Array, gamma: Array, beta: Array, V: Array, X: Array, T: Array, eps: float
) -> Result:
    """Linear layer, batch normalisation, ReLU, linear layer, mean squared error."""
    n = X.shape[0]
    Z = X @ W  # @z
    mean = Z.mean(axis=0)  # @mu
    centred = Z - mean
    var = np.mean(centred**2, axis=0)  # @var
    inv = 1 / np.sqrt(var + eps)
    hat = centred * inv  # @hat
    B = gamma * hat + beta  # @affine
    A = np.maximum(B, 0)  # @relu
    Y = A @ V  # @y
    R = Y - T  # @residual
    loss = np.sum(R**2) / n  # @loss
    dY = 2 * R / n  # of=residual avg=loss
    dV = A.T @ dY  # out=y
    dA = dY @ V.T  # of=y
    dB = dA * (B > 0)  # mask=relu
    dgamma = np.sum(dB * hat, axis=0)  # out=affine
    dbeta = np.sum(dB, axis=0)  # out=affine stale=dB>dA skips=activation_mask_missing@relu
    dhat = dB * gamma  # fac=affine
    dinv = np.sum(dhat * centred, axis=0)
    dvar = dinv * (-0.5) * inv**3
    dcentred = dhat * inv  # fac=hat
    dcentred += 2 / n * centred * dvar  # path=var
    dmean = -dcentred.sum(axis=0)
    dZ = dcentred.copy()
    dZ += dmean / n  # path=mu
    dW = X.T @ dZ  # out=z
    return loss, {"W": dW, "gamma": dgamma, "beta": dbeta, "V": dV}


def layer_norm(
    W: Array, b: Array, gamma: Array, beta: Array, X: Array, y: Any, eps: float
) -> Result:
    """Linear layer, layer normalisation and a softmax loss."""
    n, d = X.shape[0], W.shape[1]
    Z = X @ W + b  # @z
    mu = Z.mean(axis=1, keepdims=True)  # @mu
    C = Z - mu
    var = (C**2).mean(axis=1, keepdims=True)  # @var
    std = np.sqrt(var + eps)
    hat = C / std  # @hat
    S = hat * gamma + beta  # @affine
    E = np.exp(S)
    P = E / E.sum(axis=1, keepdims=True)  # @prob
    loss = -np.log(P[np.arange(n), y]).mean()  # @loss
    dS = P.copy()
    dS[np.arange(n), y] -= 1  # term=prob
    dS /= n  # avg=loss
    dgamma = (dS * hat).sum(axis=0)  # out=affine
    dbeta = dS.sum(axis=0)  # out=affine
    dhat = dS * gamma  # fac=affine
    dstd = -(dhat * C / std**2).sum(axis=1, keepdims=True)
    dC = dhat / std
    dC += dstd / std * C / d  # path=var
    dZ = dC.copy()
    dZ -= dC.mean(axis=1, keepdims=True)  # path=mu
    dW = X.T @ dZ  # out=z
    db = dZ.sum(axis=0)  # out=z stale=dZ>dC skips=path_detached@mu
    return loss, {"W": dW, "b": db, "gamma": dgamma, "beta": dbeta}


def recurrent(Wx: Array, Wh: Array, b: Array, V: Array, h0: Array, X: Array, T: Array) -> Result:
    """A tanh recurrent network over the steps of X (steps, batch, inputs)."""
    steps, n, _ = X.shape
    states = [h0]
    loss = 0.0
    outputs = []
    for k in range(steps):
        G = X[k] @ Wx + states[-1] @ Wh + b  # @g
        states.append(np.tanh(G))  # @tanh
        outputs.append(states[-1] @ V)  # @y
        loss = loss + 0.5 * np.sum((outputs[-1] - T[k]) ** 2) / n  # @loss
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dV, dh = np.zeros_like(V), np.zeros_like(h0)
    for k in reversed(range(steps)):  # last=loss
        dY = (outputs[k] - T[k]) / n  # avg=loss
        dV += states[k + 1].T @ dY  # out=y
        dh = dh + dY @ V.T  # path=y
        dG = dh * (1 - states[k + 1] ** 2)  # act=tanh
        dWx += X[k].T @ dG  # out=g
        dWh += states[k].T @ dG  # out=g
        db += dG.sum(axis=0)  # out=g sum=g
        dh = dG @ Wh.T  # of=g recur=g
    return loss, {"Wx": dWx, "Wh": dWh, "b": db, "V": dV, "h0": dh}


def lstm(Wx: Array, Wh: Array, b: Array, X: Array, T: Array) -> Result:
    """A long short-term memory over the steps of X (steps, batch, inputs)."""
    steps, n, _ = X.shape
    d = Wh.shape[0]
    h, c = np.zeros((n, d)), np.zeros((n, d))
    kept = []
    loss = 0.0
    for k in range(steps):
        G = X[k] @ Wx + h @ Wh + b  # @g
        i = 1 / (1 + np.exp(-G[:, :d]))  # @i
        f = 1 / (1 + np.exp(-G[:, d : 2 * d]))  # @f
        o = 1 / (1 + np.exp(-G[:, 2 * d : 3 * d]))  # @o
        u = np.tanh(G[:, 3 * d :])  # @u
        before, hidden = c, h
        c = f * c + i * u  # @c
        tc = np.tanh(c)  # @tc
        h = o * tc  # @h
        kept.append((i, f, o, u, before, hidden, tc, h))
        loss = loss + np.sum((h - T[k]) ** 2) / n  # @loss
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh, dc = np.zeros((n, d)), np.zeros((n, d))
    for k in reversed(range(steps)):  # last=loss
        i, f, o, u, before, hidden, tc, h = kept[k]
        dh = dh + 2 * (h - T[k]) / n  # avg=loss
        do = dh * tc  # fac=h
        dtc = dh * o  # fac=h
        dc = dc + dtc * (1 - tc**2)  # act=tc
        di = dc * u  # fac=c
        du = dc * i  # fac=c
        df = dc * before  # fac=c
        dGi = di * (i * (1 - i))  # act=i
        dGf = df * (f * (1 - f))  # act=f
        dGo = do * (o * (1 - o))  # act=o
        dGu = du * (1 - u**2)  # act=u
        dG = np.concatenate([dGi, dGf, dGo, dGu], axis=1)
        dWx += X[k].T @ dG  # out=g
        dWh += hidden.T @ dG  # out=g
        db += dG.sum(axis=0)  # out=g
        dh = dG @ Wh.T  # of=g recur=g
        dc = dc * f  # fac=c recur=c
    return loss, {"Wx": dWx, "Wh": dWh, "b": db}


def convolution(K: Array, b: Array, W: Array, X: Array, y: Any) -> Result:
    """A convolution with loops over the windows, ReLU, mean pooling and a softmax loss."""
    n, height, width = X.shape
    m, k, _ = K.shape
    rows, columns = height - k + 1, width - k + 1
    Z = np.zeros((n, m, rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = X[:, i : i + k, j : j + k].reshape(n, -1)
            Z[:, :, i, j] = window @ K.reshape(m, -1).T + b  # @conv
    A = np.maximum(Z, 0)  # @relu
    F = A.mean(axis=(2, 3))  # @pool
    S = F @ W  # @scores
    E = np.exp(S)
    P = E / E.sum(axis=1, keepdims=True)  # @prob
    loss = -np.sum(np.log(P[np.arange(n), y])) / n  # @loss
    dS = P.copy()
    dS[np.arange(n), y] -= 1  # term=prob
    dS /= n  # avg=loss
    dW = F.T @ dS  # out=scores
    dF = dS @ W.T  # of=scores
    dA = np.zeros_like(A) + dF[:, :, None, None] / (rows * columns)  # of=pool
    dZ = dA * (Z > 0)  # mask=relu
    dK, db = np.zeros_like(K), np.zeros_like(b)
    for i in range(rows):
        for j in range(columns):
            window = X[:, i : i + k, j : j + k].reshape(n, -1)
            dK += (dZ[:, :, i, j].T @ window).reshape(K.shape)  # out=conv
            db += dZ[:, :, i, j].sum(axis=0)  # out=conv
    return loss, {"K": dK, "b": db, "W": dW}


def attention(Q: Array, K: Array, V: Array, W: Array, X: Array, T: Array) -> Result:
    """One head of self-attention with a residual connection and a squared error."""
    d = X.shape[1]
    q = X @ Q  # @q
    k = X @ K  # @k
    v = X @ V  # @v
    S = q @ k.T / np.sqrt(d)  # @s
    E = np.exp(S - S.max(axis=1, keepdims=True))
    A = E / E.sum(axis=1, keepdims=True)  # @a
    O = A @ v  # @o  # noqa: E741
    H = O + v  # @residual
    Y = H @ W  # @y
    R = Y - T  # @r
    loss = np.mean(R**2)  # @loss
    dY = 2 * R / R.size  # of=r avg=loss
    dW = H.T @ dY  # out=y stale=H>O skips=stale_value@y
    dH = dY @ W.T  # of=y
    dO = dH.copy()
    dv = A.T @ dO  # of=o
    dv += dH  # term=residual over=path_detached@o
    dA = dO @ v.T  # of=o
    inner = (dA * A).sum(axis=1, keepdims=True)
    dS = A * (dA - inner)  # of=a
    dS = dS / np.sqrt(d)  # of=s
    dq = dS @ k  # of=s
    dk = dS.T @ q  # of=s
    dQ = X.T @ dq  # out=q
    dK = X.T @ dk  # out=k
    dV = X.T @ dv  # out=v
    return loss, {"Q": dQ, "K": dK, "V": dV, "W": dW}


def hinge(W: Array, b: Array, X: Array, y: Any, reg: float) -> Result:
    """Multiclass support vector machine."""
    n = len(y)
    S = X @ W + b  # @scores
    right = S[np.arange(n), y][:, None]  # @right
    margins = np.maximum(0, S - right + 1)  # @hinge
    loss = (np.sum(margins) - n) / n  # @mean
    loss += reg * np.sum(W * W)  # @reg
    dS = (margins > 0).astype(float)
    dS[np.arange(n), y] -= dS.sum(axis=1)  # term=right
    dS = dS / n  # avg=mean
    dW = X.T @ dS + 2 * reg * W  # out=scores reg=reg
    db = dS.sum(axis=0)  # out=scores sum=scores
    return loss, {"W": dW, "b": db}


def embedding(table: Array, W: Array, b: Array, idx: Any, T: Array) -> Result:
    """Mean of looked-up rows, a softplus layer and a squared error."""
    n, length = idx.shape
    rows = table[idx]  # @lookup
    M = rows.mean(axis=1)  # @pool
    Z = M @ W + b  # @z
    A = np.logaddexp(0, Z)  # @softplus
    R = A - T  # @residual
    loss = 0.5 * np.sum(R**2) / n  # @loss
    dA = R / n  # of=residual avg=loss
    dZ = dA * (1 / (1 + np.exp(-Z)))  # act=softplus
    dW = M.T @ dZ  # out=z
    db = dZ.sum(axis=0)  # out=z sum=z stale=dZ>dA skips=activation_derivative_missing@softplus
    dM = dZ @ W.T  # of=z
    drows = np.repeat(dM[:, None, :], length, axis=1) / length  # of=pool
    dtable = np.zeros_like(table)
    np.add.at(dtable, idx, drows)  # indices=lookup
    return loss, {"table": dtable, "W": dW, "b": db}
