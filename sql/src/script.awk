# Puts the extension's script together: awk -f script.awk enqueue_options.sql.in PARTS
# Where a part has one of these lines it writes the text of the first file:
#
#	--@enqueue_options@			as it is
#	--@enqueue_options json@	with json in place of jsonb
#	--@enqueue_types json@		the same without defaults, as COMMENT ON takes it

FNR == NR {
	if (!/^--/)
		options = options $0 "\n"
	next
}

/^[ \t]*--@enqueue_[a-z ]*@$/ {
	text = options
	if (/ json@/)
		gsub(/jsonb/, "json", text)
	if (/@enqueue_types/)
		gsub(/ DEFAULT NULL/, "", text)
	printf "%s", text
	next
}

{ print }
