substr(f.content, instr(f.content, '":{')) = substr(excluded.content, instr(excluded.content, '":{'))
