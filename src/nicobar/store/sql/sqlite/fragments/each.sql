json_each(:$)
