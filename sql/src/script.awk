# Puts the extension's script together: awk -f script.awk enqueue_options.sql.in PARTS
# Where a part has the line "--@enqueue_options@" it writes the text of the first file.

FNR == NR {
	if (!/^--/)
		options = options $0 "\n"
	next
}

/^[ \t]*--@enqueue_options@$/ {
	printf "%s", options
	next
}

{ print }
