module openflagship

go 1.22
