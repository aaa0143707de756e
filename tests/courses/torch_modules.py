import torch
from torch import nn
from torch_functions import LinearFunction, MyReLU


class BadLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, weight, bias):
        ctx.save_for_backward(input, weight)
        return input @ weight.t() + bias

    @staticmethod
    def backward(ctx, grad_output):
        input, weight = ctx.saved_tensors
        return grad_output @ weight, grad_output.t() @ input, grad_output.mean(0)


class Linear(nn.Module):
    def __init__(self, input_features, output_features):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(output_features, input_features).uniform_(-0.5, 0.5))
        self.bias = nn.Parameter(torch.empty(output_features).uniform_(-0.1, 0.1))

    def forward(self, input):
        return BadLinear.apply(input, self.weight, self.bias)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = Linear(6, 4)
        self.fc2 = Linear(4, 2)

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(x)))


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4 * 6 * 6, 5)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))


net = Net()
good = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
convnet = ConvNet()
emb = nn.Sequential(nn.Embedding(11, 3), nn.Linear(3, 2))
lstm = nn.LSTM(3, 4)
