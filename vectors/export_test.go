package vectors

// OpenBytes is OpenSnapshot for what a file would hold.
func OpenBytes(b []byte) (*Mapped, error) {
	none := func() error { return nil }
	schema, t, err := parseSnapshot(aligned(b), none)
	if err != nil {
		return nil, err
	}
	return &Mapped{schema: schema, table: t, unmap: none}, nil
}
