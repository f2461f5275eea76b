module reactor-benchmarks/go

go 1.19
