"""List and remove all resources that mlops created on AWS."""
