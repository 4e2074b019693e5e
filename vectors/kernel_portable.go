//go:build !(goexperiment.simd && amd64)

package vectors

func dotKernel() kernel { return dotsPortable }

func squaresKernel() kernel { return squaresPortable }

func codesKernel() codeKernel { return codeKernel{63, sumsPortable} }
