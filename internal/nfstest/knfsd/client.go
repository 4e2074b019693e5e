package knfsd

// Client is a client as the server knows it.
type Client struct {
	ID      string // the 64-bit client id the server gave, in hexadecimal
	Name    string // who the client says it is
	Address string // address:port of its connection
	Minor   int    // minor version of NFSv4
	folder  string
}
