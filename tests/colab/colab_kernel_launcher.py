"""A stand-in for what starts Colab's kernels: an IPython kernel with a shell of Colab's own."""

from google.colab._shell import Shell
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from traitlets import default


class Kernel(IPythonKernel):
    """A kernel whose `get_ipython()` is Colab's."""

    @default("shell_class")
    def _shell_class_default(self) -> type:
        return Shell


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=Kernel)
