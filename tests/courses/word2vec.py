import numpy as np


def softmax(x):
    x = x - np.max(x)
    e = np.exp(x)
    return e / e.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naiveSoftmaxLossAndGradient(centerWordVec, outsideWordIdx, outsideVectors, dataset):
    """
    centerWordVec -- numpy ndarray, center word's embedding in shape (word vector length, )
    outsideWordIdx -- integer, the index of the outside word
    outsideVectors -- outside vectors in shape (num words in vocab, word vector length)
    dataset -- needed for negative sampling, unused here.
    """
    y_hat = softmax(outsideVectors.dot(centerWordVec))
    loss = -np.log(y_hat[outsideWordIdx])
    y_hat[outsideWordIdx] -= 1
    gradCenterVec = outsideVectors.T.dot(y_hat)
    gradOutsideVecs = np.outer(y_hat, centerWordVec)
    return loss, gradCenterVec, gradOutsideVecs


def negSamplingLossAndGradient(centerWordVec, outsideWordIdx, outsideVectors, dataset, K=4):
    negSampleWordIndices = dataset
    indices = [outsideWordIdx] + list(negSampleWordIndices)
    gradOutsideVecs = np.zeros_like(outsideVectors)
    u = outsideVectors[indices]
    z = u.dot(centerWordVec)
    s_o = sigmoid(z[0])
    s_k = sigmoid(-z[1:])
    loss = -np.log(s_o) - np.sum(np.log(s_k))
    gradCenterVec = (s_o - 1) * u[0] + (1 - s_k).dot(u[1:])
    gradOutsideVecs[outsideWordIdx] = (s_o - 1) * centerWordVec
    for k, idx in enumerate(negSampleWordIndices):
        gradOutsideVecs[idx] = (1 - s_k[k]) * centerWordVec 
    return loss, gradCenterVec, gradOutsideVecs


def skipgram(currentCenterWord, windowSize, outsideWords, word2Ind, centerWordVectors, outsideVectors, dataset,
             word2vecLossAndGradient=naiveSoftmaxLossAndGradient):
    loss = 0.0
    gradCenterVecs = np.zeros(centerWordVectors.shape)
    gradOutsideVectors = np.zeros(outsideVectors.shape)
    c = word2Ind[currentCenterWord]
    for w in outsideWords:
        l, gc, go = word2vecLossAndGradient(centerWordVectors[c], word2Ind[w], outsideVectors, dataset)
        loss += l
        gradCenterVecs[c] += gc
        gradOutsideVectors += go
    return loss, gradCenterVecs, gradOutsideVectors
