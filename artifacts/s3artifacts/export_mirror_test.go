package s3artifacts

// LimitCopies makes S3 copy larger objects than n bytes in parts.
func (s *Store) LimitCopies(n int64) { s.copies = n }
